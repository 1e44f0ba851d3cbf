"""The contract of a selector."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.costs import COSTS
from pretrieve_selection.input_checks import check_centroids, check_same_dimension, check_top_k
from pretrieve_selection.selection import Selection
from pretrieve_selection.settings import SelectionSettings


@dataclass(frozen=True)
class SelectionProblem:
    """The checked inputs of one selection.

    Attributes:
      source_centroids: (K_source, D) float64, finite, raw averages.
      target_centroids: (K_target, D) float64, finite, raw averages.
      source_names: names of the groups for errors, or None.
      target_names: names of the target classes for errors, or None.
    """

    source_centroids: NDArray[np.float64]
    target_centroids: NDArray[np.float64]
    source_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None


class Selector(ABC):
    """Choose the groups of the source that resemble a target.

    A member gives itself a `name`, the method's name in a study, and says how it selects in `_select`. It
    keeps no state between selections, does not change its inputs, and draws from `rng` alone.
    """

    name: ClassVar[str]

    def select(
        self,
        source_centroids: ArrayLike,
        target_centroids: ArrayLike,
        *,
        top_k: int,
        settings: SelectionSettings,
        rng: np.random.Generator,
        source_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
    ) -> Selection:
        """Rank all source groups and select the best.

        Args:
          source_centroids: (K_source, D), finite; raw averages, see `CentroidSums`.
          target_centroids: (K_target, D), finite; likewise.
          top_k: number of groups to select, from 1 to K_source. It stands above `settings.top_k`, which is
            only the default of a study.
          settings: costs and weights; each selector reads its own.
          rng: the only source of randomness.
          source_names: K_source names, used in errors only.
          target_names: K_target names, used in errors only.

        Returns:
          Selection: the ranked groups, the scores of all, the margin at top_k.

        Raises:
          SelectionInputError: a shape or range above does not hold.
        """
        source = check_centroids(source_centroids, side="source", names=source_names)
        target = check_centroids(target_centroids, side="target", names=target_names)
        check_same_dimension(source, target)
        check_top_k(top_k, num_groups=len(source))
        problem = SelectionProblem(source, target, source_names, target_names)
        return self._select(problem, top_k=top_k, settings=settings, rng=rng)

    @abstractmethod
    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        """Select on inputs that have been checked."""


def cost_matrix(problem: SelectionProblem, cost_name: str, *, cost_scale: float) -> NDArray[np.float64]:
    """Return the (K_source, K_target) costs of a problem by the cost of this name in `COSTS`."""
    return COSTS[cost_name](
        problem.source_centroids,
        problem.target_centroids,
        cost_scale=cost_scale,
        source_names=problem.source_names,
        target_names=problem.target_names,
    )
