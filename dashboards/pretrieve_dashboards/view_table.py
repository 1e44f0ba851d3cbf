"""A view as a table: what the report lays out as HTML, and tests read as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TableCell:
    """One entry.

    Attributes:
      text: what stands there.
      run_id: the MLflow run that it comes from; None for what comes from none, or from many.
      is_number: whether it stands to the right, with digits of one width.
      is_best: whether it stands out.
    """

    text: str
    run_id: str | None = None
    is_number: bool = False
    is_best: bool = False


@dataclass(frozen=True)
class ViewTable:
    """A table.

    Attributes:
      caption: what it shows, in a sentence.
      head: names of the columns.
      rows: entries; the first of each names its row.
      num_left_out: rows that are not listed.
      row_runs: of each row the run whose id it states; empty where rows are of no runs.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    num_left_out: int = 0
    row_runs: tuple[str, ...] = ()

    def texts(self) -> list[list[str]]:
        """Return the entries as words, row by row."""
        return [[cell.text for cell in row] for row in self.rows]


def words(*texts: str) -> list[TableCell]:
    """Make entries of words."""
    return [TableCell(text) for text in texts]


def numbers(texts: Sequence[str], *, run_id: str | None = None) -> list[TableCell]:
    """Make entries of numbers that come from one run."""
    return [TableCell(text, run_id, is_number=True) for text in texts]
