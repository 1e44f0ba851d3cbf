"""The contract of a view: one thing that a study's report, the terminal or a notebook shows.

A view is a subclass of `View` in a file of this folder. It says where it stands (`order`, `scope`, `title`), when it is
shown (`applies`) and what it shows: words, a table, figures. It never says how: the report, the terminal and the
notebook lay all views out in the same way.

A view is given a record of what it shows: the whole study, or, by its `scope`, the part of the study that belongs to
one target (`of_target`) or to one cell (`of_cell`). A study may be unfinished: a view shows what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from rich.console import Console, RenderableType

from pretrieve.records import CellRecord, StudyRecord, TargetRecord
from pretrieve_dashboards.view_table import Table


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
