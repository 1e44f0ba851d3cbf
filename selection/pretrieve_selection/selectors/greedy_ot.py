"""Select greedily by the transport distance of one group at a time (Cui et al. 2018)."""

import numpy as np

from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector, cost_matrix
from pretrieve_selection.settings import SelectionSettings


class GreedyOtSelector(Selector):
    """Rank a group by its optimal transport distance to the whole target, each group on its own.

    A single group can only send its mass to every target class alike, so with unit masses this distance is
    the mean of its costs, and the score is −Σ_j d(a_i, b_j) / K_target. Reads `greedy_cost` of the settings;
    the distances are not divided by `cost_scale`, on which no ranking by a mean depends.
    """

    name = "greedy_ot"

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = cost_matrix(problem, settings.greedy_cost, cost_scale=1.0)
        return Selection.from_scores(self.name, -cost.mean(axis=1), top_k=top_k)
