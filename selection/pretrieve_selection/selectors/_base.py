"""The contract of a selector."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.costs import COSTS
from pretrieve_selection.input_checks import check_sides, check_top_k
from pretrieve_selection.selection import Selection
from pretrieve_selection.settings import SelectionSettings


@dataclass(frozen=True)
class SelectionProblem:
    """The checked inputs of one selection: (K, D) raw averages, and names that only errors use."""

    source_centroids: NDArray[np.float64]
    target_centroids: NDArray[np.float64]
    source_names: Sequence[str] | None
    target_names: Sequence[str] | None

    def cost_matrix(self, cost_name: str, *, cost_scale: float = 1.0) -> NDArray[np.float64]:
        """Return the (K_source, K_target) costs by the cost of this name in `COSTS`."""
        return COSTS[cost_name](
            self.source_centroids,
            self.target_centroids,
            cost_scale=cost_scale,
            source_names=self.source_names,
            target_names=self.target_names,
        )


class Selector(ABC):
    """Choose the groups of the source that resemble a target.

    A subclass sets `name`, the method's name in a study, and implements `_select`. It keeps no state between
    selections, does not change its inputs, and takes random numbers from `rng` only.
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
          target_centroids: (K_target, D), finite raw averages.
          top_k: number of groups to select, from 1 to K_source. It overrides `settings.top_k`, which is only the
            default of a study.
          settings: costs and weights; a selector reads only some of them.
          rng: the only source of randomness.
          source_names: K_source names, used in errors only.
          target_names: K_target names, used in errors only.

        Raises:
          SelectionInputError: a shape or range above does not hold.
        """
        source, target = check_sides(source_centroids, target_centroids, source_names, target_names)
        check_top_k(top_k, num_groups=len(source))
        problem = SelectionProblem(source, target, source_names, target_names)
        return self._select(problem, top_k=top_k, settings=settings, rng=rng)

    @abstractmethod
    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        """Select on inputs that have been checked."""
