"""Select the groups that the user lists, where the source is known to hold the target's classes."""

from collections.abc import Sequence

import numpy as np

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class LabelSelector(Selector):
    """Select the given groups in the given order, whatever their centroids are.

    The first of n given groups has the score n, the last one 1, a group not given 0. A top_k above n selects the whole
    list and no more; a smaller one selects its beginning.

    The groups are indices ≥ 0, at least one, each once; see `imagenet_groups`. A SelectionInputError is raised
    where they are not.
    """

    name = "label"
    units = ("class",)
    needs = ()
    ranks_by_similarity = False

    def __init__(self, label_groups: Sequence[int]) -> None:
        self._groups = tuple(label_groups)
        if not self._groups:
            raise SelectionInputError("groups must hold at least one group, but is empty; list the groups to select")
        if min(self._groups) < 0:
            raise SelectionInputError(
                f"each group must be an index >= 0, but {min(self._groups)} is not; count the groups from 0"
            )
        repeated = [group for group in self._groups if self._groups.count(group) > 1]
        if repeated:
            raise SelectionInputError(
                f"each group must be given once, but group {repeated[0]} is given more often; remove it"
            )

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        num_groups = problem.source.num_groups
        if max(self._groups) >= num_groups:
            raise SelectionInputError(
                f"each group must be below the number of source groups, but group {max(self._groups)} is not "
                f"below {num_groups}; give indices of this source"
            )
        scores = np.zeros(num_groups)
        scores[list(self._groups)] = np.arange(len(self._groups), 0, -1)
        return Selection.from_scores(self.name, scores, top_k=min(top_k, len(self._groups)))
