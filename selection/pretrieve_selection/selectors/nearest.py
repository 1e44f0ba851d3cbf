"""Select by the distance to the nearest target class: a baseline that the paper does not have."""

from typing import Any

import numpy as np

from pretrieve_selection.image_scores import ImageScores, score_by_costs
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class NearestSelector(Selector):
    """Rank a group by its distance to the target class nearest to it.

    The score is −min_j d(a_i, b_j). Unlike `uot`, it may leave a target class without any near group. Of the settings
    it reads `cost` only: dividing by `cost_scale` would not change a ranking by minima.
    """

    name = "nearest"
    units = ("class", "cluster", "image")

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = problem.cost_matrix(settings.cost)
        return Selection.from_scores(self.name, -cost.min(axis=1), top_k=top_k)

    def score_images(
        self,
        source_features: Any,
        target_features: Any,
        *,
        settings: SelectionSettings,
        rng: np.random.Generator,
        num_threads: int = 1,
    ) -> ImageScores:
        given, cost = (source_features, target_features), settings.cost
        return score_by_costs(*given, "smallest", cost=cost, settings=settings, num_threads=num_threads)
