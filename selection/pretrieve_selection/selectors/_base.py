"""The contract of a selector."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.costs import COSTS
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_scores import ImageScores
from pretrieve_selection.input_checks import check_sides, check_top_k
from pretrieve_selection.selection import Selection
from pretrieve_selection.settings import SelectionSettings
from pretrieve_selection.sides import GroupedFeatures, Need, Side

Unit = Literal["class", "cluster", "image"]


@dataclass(frozen=True, eq=False)
class SelectionProblem:
    """The checked inputs of one selection: the groups of the source, and the classes of the target."""

    source: Side
    target: Side

    def cost_matrix(self, cost_name: str, *, cost_scale: float = 1.0) -> NDArray[np.float64]:
        """Return the (K_source, K_target) costs between centroids, by the cost of this name in `COSTS`."""
        return COSTS[cost_name](
            self.source.centroids,
            self.target.centroids,
            cost_scale=cost_scale,
            source_names=self.source.names_for_errors,
            target_names=self.target.names_for_errors,
        )


class Selector(ABC):
    """Choose the parts of the source that resemble a target.

    A subclass sets `name`, implements `_select`, and declares in the attributes below what a study must know before it
    runs. Its own settings are the arguments of its constructor. It keeps no state between selections, does not change
    its inputs, and takes random numbers from `rng` only. `pretrieve.testing.selectors.check_selector` checks all this.

    Attributes:
      name: in records and messages; of a built-in selector also the word by which a study names it.
      units: what it ranks. A selector of single images defines `score_images` as well.
      needs: what `_select` reads of both sides, see `Side`. Features are loaded only for a selector that lists
        "features" or "moments". "names" are those of classes: a selector that lists them ranks classes alone.
      ranks_by_similarity: whether a higher score means more similar to the target, so that a part of the ranking, such
        as its second tenth, means something.
      scores_are_log_masses: whether a score is the logarithm of the mass that a group sends to the target.
    """

    name: ClassVar[str]
    units: ClassVar[tuple[Unit, ...]] = ("class", "cluster")
    needs: ClassVar[tuple[Need, ...]] = ("centroids",)
    ranks_by_similarity: ClassVar[bool] = True
    scores_are_log_masses: ClassVar[bool] = False

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
        source_features: GroupedFeatures | None = None,
        target_features: GroupedFeatures | None = None,
    ) -> Selection:
        """Rank all source groups and select the best.

        Args:
          source_centroids: (K_source, D), finite; raw averages, see `CentroidSums`.
          target_centroids: (K_target, D), finite raw averages.
          top_k: number of groups to select, from 1 to K_source. It overrides `settings.top_k`, which is only the
            default of a study.
          settings: costs and weights; a selector reads only some of them.
          rng: the only source of randomness.
          source_names: K_source names, for errors and for selectors that need names.
          target_names: K_target names, likewise.
          source_features: of the images in the groups, for selectors that need features or moments.
          target_features: of the images in the classes, likewise.

        Raises:
          SelectionInputError: a shape or range above does not hold, or something that the selector needs is not given.
        """
        source, target = check_sides(source_centroids, target_centroids, source_names, target_names)
        check_top_k(top_k, num_groups=len(source))
        problem = SelectionProblem(
            self._side("source", source, source_names, source_features),
            self._side("target", target, target_names, target_features),
        )
        return self._select(problem, top_k=top_k, settings=settings, rng=rng)

    def _side(
        self, side: str, centroids: NDArray[np.float64], names: Sequence[str] | None, images: GroupedFeatures | None
    ) -> Side:
        given = {"centroids": centroids, "names": names, "features": images, "moments": images}
        for need in self.needs:
            if given[need] is None:
                argument = f"{side}_{'names' if need == 'names' else 'features'}"
                raise SelectionInputError(
                    f"the selector {self.name!r} must be given what it needs, but lacks {need} of the {side}; "
                    f"give {argument}, or choose a selector that needs centroids alone"
                )
        if images is not None:
            images.check_groups(centroids.shape, side)
        return Side(side, centroids, names, images, self.needs)

    @abstractmethod
    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        """Select on inputs that have been checked."""

    def score_images(
        self,
        source_features: Any,
        target_features: Any,
        *,
        settings: SelectionSettings,
        rng: np.random.Generator,
        num_threads: int = 1,
    ) -> ImageScores:
        """Score each source image by its similarity to the target's images; for the unit "image".

        This is `select` with images in place of groups. It should need little memory besides the features.

        Args:
          source_features: (N, D) floating-point array or tensor; an array may be mapped from a file, and a tensor may
            be on a GPU.
          target_features: (n, D), likewise.
          settings: costs and weights; a selector reads only some of them.
          rng: the only source of randomness.
          num_threads: for work on CPUs, ≥ 1.

        Raises:
          SelectionInputError: the selector scores no single images, or a shape or range above does not hold.
        """
        raise SelectionInputError(
            f"a selector of single images must define score_images, but {self.name!r} does not; choose another one, or "
            "select classes or clusters"
        )
