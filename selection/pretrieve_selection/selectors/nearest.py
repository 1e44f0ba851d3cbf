"""Select by the distance to the nearest target class: a baseline that the paper does not have."""

import numpy as np

from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class NearestSelector(Selector):
    """Rank a group by its distance to the target class nearest to it.

    The score is −min_j d(a_i, b_j). Unlike `uot`, it may leave a target class without any near group. Of the settings
    it reads `cost` only: dividing by `cost_scale` would not change a ranking by minima.
    """

    name = "nearest"

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = problem.cost_matrix(settings.cost)
        return Selection.from_scores(self.name, -cost.min(axis=1), top_k=top_k)
