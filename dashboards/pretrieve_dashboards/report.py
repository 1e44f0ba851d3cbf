"""The report of a study: one HTML file, without scripts or network access, that shows all views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pretrieve.records import StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.views import Figure, Lines, Table, View, all_views
from pretrieve_dashboards.views._base import of_cell, of_target

MAX_ROWS_OF_CELLS = 4_000
"""Largest number of rows in the trial lists of one report. Each cell shows an equal share, the best trials first."""
MAX_LINKED_ROWS_OF_CELLS = 2_000
"""The same for a report whose numbers link to MLflow's UI, because links take space."""
MIN_ROWS_OF_CELL = 20


@dataclass(frozen=True)
class Section:
    """One section of a page. It shows texts, long figures, `beside`, folded tables, lists and notes, in this order."""

    title: str
    id: str = ""  # the HTML anchor that links point to
    link: str = ""  # the name in the page's table of contents; empty to leave the section out
    style: str = ""  # `notice`, or `cell` for a box
    texts: Sequence[str] = ()
    lists: Sequence[Lines] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()  # with smaller headings

    @property
    def beside(self) -> list[Figure | Table]:
        """What is shown side by side: figures in a frame, open tables, other figures."""
        framed = [figure for figure in self.figures if figure.size == "mid"]
        others = [figure for figure in self.figures if figure.size in ("small", "wide")]
        return [*framed, *(table for table in self.tables if not table.folded), *others]


@dataclass(frozen=True)
class Page:
    """The content of a report, as the template uses it."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    anchors: Mapping[str, str]  # the HTML anchor of a table row, by its entry in `Table.row_runs`
    href: Callable[[str | None], str]  # returns the address of a run, or an empty string
    has_links: bool = False  # the page begins with a table of contents


def write_report(record: StudyRecord, path: Path) -> None:
    """Write the report of a study. A missing folder is created.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(record), encoding="utf-8")


def render_report(record: StudyRecord) -> str:
    """Render a finished or unfinished study as self-contained HTML. Everything that comes from data is escaped."""
    most_rows = MAX_LINKED_ROWS_OF_CELLS if wording.ui_address(record) else MAX_ROWS_OF_CELLS
    sections = study_sections(record, max(MIN_ROWS_OF_CELL, most_rows // max(1, len(record.cells))))
    runs = dict.fromkeys(run for table in _tables(sections) for run in table.row_runs if run)
    anchors = {run: f"r{number}" for number, run in enumerate(runs, start=1)}

    def href(run_id: str | None) -> str:
        return wording.run_page(record, run_id) or (f"#{anchors[run_id]}" if run_id in anchors else "")

    size = f"{wording.count(len(record.targets), 'target')} × {wording.count(len(record.methods), 'method')}"
    subtitle = f"{size} on {record.backbone} · {'finished' if record.is_finished else 'unfinished'}"
    return render_page(Page(record.name, subtitle, sections, has_links=True, anchors=anchors, href=href))


def render_page(page: Page) -> str:
    """Render a page as HTML. Everything that comes from data is escaped."""
    loader = PackageLoader("pretrieve_dashboards", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawn"] = Markup
    return environment.get_template("report.html.j2").render(page=page)


def study_sections(record: StudyRecord, most_rows: int) -> list[Section]:
    """Arrange all views: one section per target, and at most `most_rows` rows in the tables of a cell."""
    sections: list[Section] = []
    for is_of_study, group in groupby(all_views(record), key=lambda view: view.scope == "study"):
        views = list(group)
        if is_of_study:
            sections += _titled(views, record, most_rows)
            continue
        for number, target in enumerate(record.targets, start=1):
            parts = _titled(views, of_target(record, target), most_rows)
            sections.append(Section(target.name, id=f"target-{number}", link=target.name, sections=parts))
    return sorted(sections, key=lambda section: section.style != "notice")


def _titled(views: Iterable[View], record: StudyRecord, most_rows: int) -> list[Section]:
    """Put consecutive views with the same title into one section; views of cells go into one box per cell."""
    sections = []
    for _, group in groupby(views, key=lambda view: view.title):
        same = list(group)
        own = [view for view in same if view.scope != "cell" and view.applies(record)]
        of_cells = [view for view in same if view.scope == "cell"]
        boxes = [_box(of_cells, of_cell(record, cell), most_rows) for cell in record.cells if of_cells]
        if own or boxes:
            head = (own or same)[0]
            intros = dict.fromkeys(view.intro for view in same if view.intro)
            section = _content(own, record, intros, title=head.heading(record), style=head.style, sections=boxes)
            sections.append(replace(section, id=head.id, link=head.link))
    return sections


def _box(views: Iterable[View], record: StudyRecord, most_rows: int) -> Section:
    shown = [view for view in views if view.applies(record)]
    section = _content(shown, record, title=record.cells[0].method, style="cell")
    return replace(section, tables=[table.first(most_rows) for table in section.tables])


def _content(views: Sequence[View], record: StudyRecord, intros: Iterable[str] = (), **heading: Any) -> Section:
    paragraphs = [paragraph for view in views for paragraph in view.text(record).split("\n\n")]
    tables = [view.table(record) for view in views]
    return Section(
        texts=[text for text in (*intros, *paragraphs) if text],
        lists=[each for view in views for each in view.lists(record)],
        tables=[table for table in tables if table is not None and table.rows],
        figures=[figure for view in views for figure in view.figures(record)],
        notes=[note for note in (view.note(record) for view in views) if note],
        **heading,
    )


def _tables(sections: Iterable[Section]) -> Iterable[Table]:
    for section in sections:
        yield from section.tables
        yield from _tables(section.sections)
