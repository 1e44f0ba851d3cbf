"""Select uniformly at random: the control of every comparison (section 3.2)."""

import numpy as np

from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class RandomSelector(Selector):
    """Draw the groups uniformly without replacement, blind to the target.

    The score of a group is its draw from [0, 1), so the ranking of all groups is one uniform permutation, and
    the selection of a smaller top_k is the beginning of that of a larger one with the same generator.
    """

    name = "random"

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        return Selection.from_scores(self.name, rng.random(len(problem.source_centroids)), top_k=top_k)
