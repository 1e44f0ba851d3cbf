"""Select the groups that the user names, where the source is known to hold the target's classes."""

import operator
from collections.abc import Sequence

import numpy as np

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.nearest_word import nearest_word
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings

IMAGENET_BIRD_CLASSES: tuple[int, ...] = (*range(7, 25), *range(80, 101), *range(127, 147))
"""The 59 bird classes of ImageNet-1k, cock to albatross: indices in the sorted order of WordNet ids (Table 4)."""

IMAGENET_DOG_CLASSES: tuple[int, ...] = tuple(range(151, 269))
"""The 118 dog classes, Chihuahua to Mexican hairless: indices likewise (Figure 3b)."""


class LabelSelector(Selector):
    """Select the given groups in the given order, whatever their centroids are.

    The first of n given groups has the score n, the last one 1, a group not given 0. A top_k above n selects the whole
    list and no more; a smaller one selects its beginning. A SelectionInputError is raised where no group is given, one
    is given twice, or one is not among the names.

    Args:
      groups: indices, WordNet ids or names; at least one, each once. See `IMAGENET_BIRD_CLASSES`.
      group_names: the names of all source groups in index order, "name" or "wnid name" as in "n01440764 tench"; needed
        where a group is not given by index.
    """

    name = "label"

    def __init__(self, groups: Sequence[int | str], group_names: Sequence[str] | None = None) -> None:
        self._groups = tuple(_find_group(group, group_names) for group in groups)
        if not self._groups:
            raise SelectionInputError("groups must hold at least one group, but is empty; name the groups to select")
        repeated = [group for group in self._groups if self._groups.count(group) > 1]
        if repeated:
            raise SelectionInputError(
                f"each group must be given once, but group {repeated[0]} is given more often; remove it"
            )

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        num_groups = len(problem.source_centroids)
        if max(self._groups) >= num_groups:
            raise SelectionInputError(
                f"each group must be below the number of source groups, but group {max(self._groups)} is not "
                f"below {num_groups}; give indices of this source"
            )
        scores = np.zeros(num_groups)
        scores[list(self._groups)] = np.arange(len(self._groups), 0, -1)
        return Selection.from_scores(self.name, scores, top_k=min(top_k, len(self._groups)))


def _find_group(group: int | str, group_names: Sequence[str] | None) -> int:
    if not isinstance(group, str):
        if group < 0:
            raise SelectionInputError(f"each group must be an index >= 0, but {group} is not; count the groups from 0")
        return operator.index(group)
    if group_names is None:
        raise SelectionInputError(
            f"group names must be known to find a group by name, but {group!r} is given without; add group_names"
        )
    matches = [index for index, name in enumerate(group_names) if group in _words_for(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise SelectionInputError(
            f"a name must belong to one group, but {group!r} belongs to the groups {matches}; "
            "give the WordNet id or the index"
        )
    hint = nearest_word(group, (word for name in group_names for word in _words_for(name)))
    raise SelectionInputError(
        f"each group must be one of the source, but {group!r} is not; use a name or WordNet id of the source.{hint}"
    )


def _words_for(name: str) -> tuple[str, ...]:
    first, _, rest = name.partition(" ")
    looks_like_wordnet_id = len(first) == 9 and first[0] == "n" and first[1:].isdigit()
    return (name, first, rest) if rest and looks_like_wordnet_id else (name,)
