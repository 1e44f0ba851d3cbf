"""The contract of a view: one thing that a study's report, the terminal or a notebook shows.

A view is a subclass of `View` in a file of this folder. It says where it stands (`order`, `scope`, `title`), when it is
shown (`applies`) and what it shows: words, a table, figures. It never says how: the report, the terminal and the
notebook lay all views out in the same way.

A view is given a record of what it shows: the whole study, or, by its `scope`, the part of the study that belongs to
one target (`of_target`) or to one cell (`of_cell`). A study may be unfinished: a view shows what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from rich.console import Console, RenderableType

from pretrieve.records import CellRecord, StudyRecord, TargetRecord


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


class Figure(NamedTuple):
    """A figure.

    Attributes:
      svg: with a text alternative of its own.
      caption: what it shows; empty where the heading says it.
      size: `small` or `wide` beside a table; `mid` beside one, or `long` above it, in a frame that scrolls.
      label: names that frame for screen readers.
    """

    svg: str
    caption: str = ""
    size: Literal["small", "wide", "mid", "long"] = "small"
    label: str = ""


class Lines(NamedTuple):
    """A list of sentences, or a text of many lines (`is_code`); below `folded`, if that is not empty."""

    lines: Sequence[str]
    folded: str = ""
    is_code: bool = False


class View:
    """One thing that is shown of a study. A subclass overrides what it has.

    Attributes:
      title: its heading; neighbours of one title stand under one heading, and an empty title has none.
      order: views are shown from the lowest to the highest.
      scope: what it is shown of: the study, each target, or each cell (a method on a target).
      id: the place in the page that links lead to; of views of the study alone.
      link: how the list of the report's parts names it; empty to leave it out.
      intro: what stands once below the heading.
      style: `notice` for what is to be seen first.
      in_notebook: whether a notebook shows its table.
    """

    title: str
    order: int
    scope: Literal["study", "target", "cell"] = "study"
    id: str = ""
    link: str = ""
    intro: str = ""
    style: str = ""
    in_notebook: bool = False

    def applies(self, record: StudyRecord) -> bool:
        """Say whether there is something to show."""
        return True

    def heading(self, record: StudyRecord) -> str:
        """Return the title, where it depends on the study."""
        return self.title

    def text(self, record: StudyRecord) -> str:
        """Explain what is shown, in paragraphs with an empty line between them; above table and figures."""
        return ""

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        """Return lists of sentences."""
        return ()

    def table(self, record: StudyRecord) -> Table | None:
        """Return the numbers; None where there are none."""
        return None

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        """Return the drawings."""
        return ()

    def note(self, record: StudyRecord) -> str:
        """Say what else is worth knowing, below table and figures."""
        return ""

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        """Yield what the terminal shows of the whole study, whatever the scope; the console's width decides how."""
        return ()


def of_target(record: StudyRecord, target: TargetRecord) -> StudyRecord:
    """Return the part of a study that belongs to a target."""
    cells = tuple(cell for cell in record.cells if cell.target == target.name)
    selections = tuple(selection for selection in record.selections if selection.target == target.name)
    return replace(record, targets=(target,), cells=cells, selections=selections)


def of_cell(record: StudyRecord, cell: CellRecord) -> StudyRecord:
    """Return the part of a study that belongs to a cell."""
    targets = tuple(target for target in record.targets if target.name == cell.target)
    pair = (cell.target, cell.method)
    selections = tuple(each for each in record.selections if (each.target, each.method) == pair)
    return replace(record, targets=targets, methods=(cell.method,), cells=(cell,), selections=selections)
