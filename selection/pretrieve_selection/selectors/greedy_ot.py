"""Select each group by its own transport distance to the target (Cui et al. 2018)."""

import numpy as np

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

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = problem.cost_matrix(settings.greedy_cost)
        return Selection.from_scores(self.name, -cost.mean(axis=1), top_k=top_k)
