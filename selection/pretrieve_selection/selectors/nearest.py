"""Select by the nearest target class: a baseline that the paper lacks."""

import numpy as np

from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector, cost_matrix
from pretrieve_selection.settings import SelectionSettings


class NearestSelector(Selector):
    """Rank a group by its distance to the target class nearest to it.

    The score is −min_j d(a_i, b_j). Unlike `uot` it does not see whether every target class finds a group.
    Reads `cost` of the settings; the distances are not divided by `cost_scale`, on which no ranking by a
    minimum depends.
    """

    name = "nearest"

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = cost_matrix(problem, settings.cost, cost_scale=1.0)
        return Selection.from_scores(self.name, -cost.min(axis=1), top_k=top_k)
