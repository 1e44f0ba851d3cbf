"""Select each group by its own transport distance to the target (Cui et al. 2018)."""

from typing import Any

import numpy as np

from pretrieve_selection.image_scores import ImageScores, score_by_costs
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class GreedyOtSelector(Selector):
    """Rank each group by its own optimal transport distance to the whole target.

    A single group sends equal mass to every target class, so with unit masses this distance is the mean of its costs,
    and the score is −Σ_j d(a_i, b_j) / K_target. Of the settings it reads `greedy_cost` only: dividing by `cost_scale`
    would not change a ranking by means.
    """

    name = "greedy_ot"
    units = ("class", "cluster", "image")

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = problem.cost_matrix(settings.greedy_cost)
        return Selection.from_scores(self.name, -cost.mean(axis=1), top_k=top_k)

    def score_images(
        self,
        source_features: Any,
        target_features: Any,
        *,
        settings: SelectionSettings,
        rng: np.random.Generator,
        num_threads: int = 1,
    ) -> ImageScores:
        given, cost = (source_features, target_features), settings.greedy_cost
        return score_by_costs(*given, "mean", cost=cost, settings=settings, num_threads=num_threads)
