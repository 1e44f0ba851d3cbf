"""A table that a view shows: its entries, and how they stand; the report, the terminal and the notebook draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class TableCell(NamedTuple):
    """One entry of a table.

    Attributes:
      text: what stands there; `Markup` where it holds more than words.
      run_id: the MLflow run that it comes from; None for what comes from none, or from many.
      is_number: whether it stands to the right, with digits of one width.
      is_best: whether it stands out.
      style: `whole` for words on one line; `entry` for a field of a heat map, `entry none` for one without a value.
      shade_percent: strength of the colour behind it, 0 to 100; None for none.
      below: what stands below the text, outside its link.
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
        """Names of its classes in the report."""
        return " ".join(filter(None, ("number" if self.is_number else "", "best" if self.is_best else "", self.style)))


def numeric(value: int | str, run_id: str | None = None, *, is_best: bool = False) -> TableCell:
    """Make the entry of a number."""
    return TableCell(str(value) if isinstance(value, int) else value, run_id, is_number=True, is_best=is_best)


def row(*entries: TableCell | str) -> tuple[TableCell, ...]:
    """Make a row of entries and words."""
    return tuple(TableCell(entry) if isinstance(entry, str) else entry for entry in entries)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      label: names it for screen readers.
      caption: what it shows, in a sentence.
      head: names of the columns.
      rows: of the report's table; the first entry of each names its row.
      num_left_out: rows that are not listed.
      row_runs: of each row the run whose id it states, None for none; empty where rows are of no runs.
      style: `pinned` keeps the first column in sight; `grid` is a heat map; `facts` has no rules.
      folded: what is read before the table is unfolded; empty for one that stands open.
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
        """Return the entries as words, row by row."""
        return [[cell.text for cell in row] for row in self.rows]

    def first(self, at_most: int) -> Table:
        """Return the table with its first rows alone, and the others counted."""
        left_out = self.num_left_out + max(0, len(self.rows) - at_most)
        return replace(self, rows=self.rows[:at_most], row_runs=self.row_runs[:at_most], num_left_out=left_out)
