"""The contract of a view: one part of what a study's report, the terminal or a notebook shows.

A view is a subclass of `View` in a file of this folder. It says where it is shown (`order`, `scope`, `title`), when it
is shown (`applies`) and what it shows: words, a table, figures. The report, the terminal and the notebook decide how.

The methods of a view receive a record: the whole study, or, if its `scope` says so, the part that belongs to one target
(`of_target`) or to one cell (`of_cell`). The study may be unfinished; the view then shows what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

from rich.console import Console, RenderableType

from pretrieve.records import CellRecord, StudyRecord, TargetRecord
from pretrieve_dashboards.view_table import Table


class Figure(NamedTuple):
    """A figure.

    Attributes:
      svg: the SVG, with its text alternative.
      caption: what the figure shows; empty if the heading says it.
      size: `small` and `wide` are shown beside a table. `mid` is shown beside it, and `long` above it, in a frame that
        scrolls.
      label: name of the frame for screen readers.
    """

    svg: str
    caption: str = ""
    size: Literal["small", "wide", "mid", "long"] = "small"
    label: str = ""


class Lines(NamedTuple):
    """A list of sentences, or the lines of a text (`is_code`). A list with a title `folded` is shown folded."""

    lines: Sequence[str]
    folded: str = ""
    is_code: bool = False


class View:
    """One part of what is shown of a study. Subclasses override what they need.

    Attributes:
      name: its word.
      title: the heading, which consecutive views with the same title share; empty for no heading.
      order: views are shown in ascending order.
      scope: the view is shown once for the study, for each target, or for each cell (a method on a target).
      id: the HTML anchor that links point to; only for views of the study.
      link: the name in the report's table of contents; empty to leave the view out.
      intro: a text that is shown once below the heading.
      style: `notice` for a view that is shown first.
      in_notebook: a notebook shows the view's table.
    """

    name: ClassVar[str]
    title: str
    order: int
    scope: Literal["study", "target", "cell"] = "study"
    id: str = ""
    link: str = ""
    intro: str = ""
    style: str = ""
    in_notebook: bool = False

    def applies(self, record: StudyRecord) -> bool:
        """Return whether there is something to show."""
        return True

    def heading(self, record: StudyRecord) -> str:
        """Return the heading, if it depends on the study."""
        return self.title

    def text(self, record: StudyRecord) -> str:
        """Return an explanation, shown above the table and the figures. Empty lines separate paragraphs."""
        return ""

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        return ()

    def table(self, record: StudyRecord) -> Table | None:
        """Return the table; None if there is none."""
        return None

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        return ()

    def note(self, record: StudyRecord) -> str:
        """Return a remark, shown below the table and the figures."""
        return ""

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        """Return what the terminal shows. The record is always that of the whole study, whatever the scope."""
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
