"""The selections of a target side by side: their first groups, and how many groups they share."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.records import SelectionRecord, StudyRecord

NUM_GROUPS_LISTED = 10
UNRANKED_METHODS = frozenset({"random"})
"""Methods whose scores say nothing of similarity."""


@dataclass(frozen=True)
class SelectionView:
    """The selections of one target.

    Attributes:
      selections: one a method that selects.
      ranks: names of the groups at rank 1, 2, …, one a selection; empty where it has fewer.
      overlaps: for each selection how many of its groups each selection holds too.
    """

    selections: tuple[SelectionRecord, ...]
    ranks: tuple[tuple[str, ...], ...]
    overlaps: tuple[tuple[int, ...], ...]


def selection_view(record: StudyRecord, target: str) -> SelectionView:
    """Compare what the methods chose for a target."""
    selections = tuple(selection for selection in record.selections if selection.target == target)
    num_ranks = min(NUM_GROUPS_LISTED, max((len(selection.names) for selection in selections), default=0))
    return SelectionView(
        selections=selections,
        ranks=tuple(
            tuple(each.names[rank] if rank < len(each.names) else "" for each in selections)
            for rank in range(num_ranks)
        ),
        overlaps=tuple(tuple(len(set(one.groups) & set(other.groups)) for other in selections) for one in selections),
    )
