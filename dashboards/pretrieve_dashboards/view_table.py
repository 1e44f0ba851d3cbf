"""The table of a view, which the report, the terminal and the notebook each lay out in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class TableCell(NamedTuple):
    """One entry of a table.

    Attributes:
      text: the content; `Markup` if it contains HTML.
      run_id: the MLflow run that the content comes from; None if it comes from no run or from several.
      is_number: the entry is aligned to the right, with digits of equal width.
      is_best: the entry is highlighted.
      style: `whole` for text that stays on one line, `entry` for a heat map's field, `entry none` for an empty one.
      shade_percent: strength of the background colour, 0 to 100; None for no background.
      below: a second text under the first, outside its link.
    """

    text: str
    run_id: str | None = None
    is_number: bool = False
    is_best: bool = False
    style: str = ""
    shade_percent: int | None = None
    below: str = ""

    @property
    def css(self) -> str:
        """CSS classes of the entry in the report."""
        return " ".join(filter(None, ("number" if self.is_number else "", "best" if self.is_best else "", self.style)))


def numeric(value: int | str, run_id: str | None = None, *, is_best: bool = False) -> TableCell:
    """Make an entry that is aligned as a number."""
    return TableCell(str(value) if isinstance(value, int) else value, run_id, is_number=True, is_best=is_best)


def row(*entries: TableCell | str) -> tuple[TableCell, ...]:
    """Make a row; strings become plain entries."""
    return tuple(TableCell(entry) if isinstance(entry, str) else entry for entry in entries)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      label: the name that screen readers read.
      caption: a sentence that says what the table shows.
      rows: the first entry of each names its row.
      num_left_out: number of rows that are not listed.
      row_runs: for each row the id of the run that it lists, or None; empty if the rows list no runs.
      style: `pinned` keeps the first column visible, `grid` is a heat map, `facts` has no rules.
      folded: title of the folded table; empty if the table is shown open.
    """

    label: str
    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[TableCell, ...]]
    num_left_out: int = 0
    row_runs: Sequence[str | None] = ()
    style: str = ""
    folded: str = ""

    def texts(self) -> list[list[str]]:
        return [[cell.text for cell in row] for row in self.rows]

    def first(self, at_most: int) -> Table:
        """Return the table with only its first rows, and the number of the others."""
        left_out = self.num_left_out + max(0, len(self.rows) - at_most)
        return replace(self, rows=self.rows[:at_most], row_runs=self.row_runs[:at_most], num_left_out=left_out)
