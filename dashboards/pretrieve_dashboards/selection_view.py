"""The selections of a target side by side: their first groups, and how many groups they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import wording

NUM_GROUPS_LISTED = 10
UNRANKED_METHODS = frozenset({"random"})
"""Methods whose scores say nothing of similarity."""


@dataclass(frozen=True)
class SelectionView:
    """The selections of one target.

    Attributes:
      selections: one a method that selects.
      counted: what the rows are counted by: `rank`, or `place` in the selection where the ranks differ.
      numbers: the rank or place of each row, from 1.
      ranks: names of the groups in each row, one a selection; empty where it has fewer.
      pictures: small pictures of the same groups, JPEGs as base64 text; empty where there is none.
      overlaps: for each selection how many of its groups each selection holds too.
    """

    selections: tuple[SelectionRecord, ...]
    counted: Literal["rank", "place"]
    numbers: tuple[int, ...]
    ranks: tuple[tuple[str, ...], ...]
    pictures: tuple[tuple[str, ...], ...]
    overlaps: tuple[tuple[int, ...], ...]


def selection_view(record: StudyRecord, target: str) -> SelectionView:
    """Compare what the methods chose for a target."""
    selections = tuple(selection for selection in record.selections if selection.target == target)
    num_ranks = min(NUM_GROUPS_LISTED, max((len(selection.names) for selection in selections), default=0))
    counted, numbers = _numbering(selections, num_ranks)
    return SelectionView(
        selections=selections,
        counted=counted,
        numbers=numbers,
        ranks=_rows([each.names for each in selections], num_ranks),
        pictures=_rows([each.thumbnails for each in selections], num_ranks),
        overlaps=tuple(tuple(_num_shared(one, other) for other in selections) for one in selections),
    )


def _rows(columns: Sequence[Sequence[str]], num_rows: int) -> tuple[tuple[str, ...], ...]:
    """Lay texts out in rows; empty where a column has fewer."""
    return tuple(tuple(column[row] if row < len(column) else "" for column in columns) for row in range(num_rows))


def margins(selection: SelectionRecord) -> tuple[str, ...]:
    """Write the margin at the last chosen group, at each number of groups that the grid tries."""
    if len(selection.margins) < 2:
        return (_margin(selection, selection.margin),)
    return tuple(
        f"{wording.hyperparameter('top_k', top_k)}: {_margin(selection, margin)}"
        for top_k, margin in selection.margins.items()
    )


def _margin(selection: SelectionRecord, margin: float | None) -> str:
    if margin is not None:
        return f"{margin:.3g}"
    return "all chosen" if selection.ranks[:1] == (1,) else "none follows"


def _num_shared(one: SelectionRecord, other: SelectionRecord) -> int:
    """Count shared groups; the record knows of all, where it lists only the first of very many."""
    if one is other:
        return one.num_selected
    return one.num_shared.get(other.method, len(set(one.groups) & set(other.groups)))


def _numbering(
    selections: Sequence[SelectionRecord], num_rows: int
) -> tuple[Literal["rank", "place"], tuple[int, ...]]:
    rows = [{each.ranks[row] for each in selections if row < len(each.ranks)} for row in range(num_rows)]
    if all(len(row) == 1 for row in rows):
        return "rank", tuple(row.pop() for row in rows)
    return "place", tuple(range(1, num_rows + 1))
