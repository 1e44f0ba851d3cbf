"""The report of a study: one HTML file that needs no network and no script. It lays out what the views show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pretrieve.records import StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.views import Figure, Lines, Table, View, all_views
from pretrieve_dashboards.views._base import of_cell, of_target

MAX_ROWS_OF_CELLS = 4_000
"""Rows of all cells' lists in one report, which state a trial's run; each cell shows its share, the best first."""
MAX_LINKED_ROWS_OF_CELLS = 2_000
"""The same where every number links to its run in MLflow's UI anyway, and links take space."""
MIN_ROWS_OF_CELL = 20


@dataclass(frozen=True)
class Section:
    """What a page shows under one heading, in this order: texts, long figures, `beside`, folded tables, lists, notes.

    Attributes:
      title: the heading; empty for none.
      id: the place that links lead to; empty for none.
      link: how the list of the page's parts names it; empty to leave it out.
      style: `notice`, or `cell` for a box.
      sections: what stands below it, with smaller headings.
    """

    title: str
    id: str = ""
    link: str = ""
    style: str = ""
    texts: Sequence[str] = ()
    lists: Sequence[Lines] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()

    @property
    def beside(self) -> list[Figure | Table]:
        """What stands side by side: a figure with a frame of its own, open tables, other figures."""
        framed = [figure for figure in self.figures if figure.size == "mid"]
        others = [figure for figure in self.figures if figure.size in ("small", "wide")]
        return [*framed, *(table for table in self.tables if not table.folded), *others]


@dataclass(frozen=True)
class Page:
    """A report as its template takes it.

    Attributes:
      title: the heading.
      subtitle: what stands below it.
      sections: in order; a notice comes first wherever it stands.
      has_links: whether a list of its parts stands at its head.
      places: by what a row of a table states, its place in the page.
      href: returns the address of a run; empty where it is nowhere.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    has_links: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    href: Callable[[str | None], str] = lambda run_id: ""


def write_report(record: StudyRecord, path: Path) -> None:
    """Write the report; its folder is made where there is none.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(record), encoding="utf-8")


def render_report(record: StudyRecord) -> str:
    """Render a study, finished or not: what there is, and what is missing.

    Returns:
      HTML, self-contained; everything that comes from data is escaped.
    """
    links = wording.run_links(record)
    most_rows = MAX_LINKED_ROWS_OF_CELLS if links.ui else MAX_ROWS_OF_CELLS
    sections = study_sections(record, max(MIN_ROWS_OF_CELL, most_rows // max(1, len(record.cells))))
    runs = dict.fromkeys(run for table in _tables(sections) for run in table.row_runs if run)
    places = {run: f"r{number}" for number, run in enumerate(runs, start=1)}

    def href(run_id: str | None) -> str:
        return links.run(run_id) or (f"#{places[run_id]}" if run_id is not None and run_id in places else "")

    size = f"{wording.count(len(record.targets), 'target')} × {wording.count(len(record.methods), 'method')}"
    state = "finished" if record.is_finished else "unfinished"
    subtitle = f"{size} on {record.backbone} · {state}"
    return render_page(Page(record.name, subtitle, sections, has_links=True, places=places, href=href))


def render_page(page: Page) -> str:
    """Render a page; everything that comes from data is escaped."""
    environment = Environment(
        loader=PackageLoader("pretrieve_dashboards", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = Markup
    return environment.get_template("report.html.j2").render(page=page)


def study_sections(record: StudyRecord, most_rows: int) -> list[Section]:
    """Lay out the views of a study, those of targets in a section each; tables of cells have at most `most_rows`."""
    sections: list[Section] = []
    for is_of_study, group in groupby(all_views(), key=lambda view: view.scope == "study"):
        views = list(group)
        if is_of_study:
            sections += _titled(views, record, most_rows)
            continue
        for number, target in enumerate(record.targets, start=1):
            parts = _titled(views, of_target(record, target), most_rows)
            sections.append(Section(target.name, id=f"target-{number}", link=target.name, sections=parts))
    return sorted(sections, key=lambda section: section.style != "notice")


def _titled(views: Iterable[View], record: StudyRecord, most_rows: int) -> list[Section]:
    """Give neighbours of one title one section; those of cells have a box a cell in it."""
    sections = []
    for _, group in groupby(views, key=lambda view: view.title):
        same = list(group)
        own = [view for view in same if view.scope != "cell" and view.applies(record)]
        of_cells = [view for view in same if view.scope == "cell"]
        boxes = [_box(of_cells, of_cell(record, cell), most_rows) for cell in record.cells if of_cells]
        if own or boxes:
            intros = dict.fromkeys(view.intro for view in same if view.intro)
            section, head = _content(own, record), (own or same)[0]
            sections.append(
                replace(
                    section,
                    title=head.heading(record),
                    id=head.id,
                    link=head.link,
                    style=head.style,
                    texts=[*intros, *section.texts],
                    sections=boxes,
                )
            )
    return sections


def _box(views: Iterable[View], record: StudyRecord, most_rows: int) -> Section:
    section = _content([view for view in views if view.applies(record)], record)
    tables = [table.first(most_rows) for table in section.tables]
    return replace(section, title=record.cells[0].method, style="cell", tables=tables)


def _content(views: Sequence[View], record: StudyRecord) -> Section:
    texts, notes = [view.text(record) for view in views], [view.note(record) for view in views]
    tables = [view.table(record) for view in views]
    return Section(
        title="",
        texts=[paragraph for text in texts for paragraph in (text.split("\n\n") if text else ())],
        lists=[each for view in views for each in view.lists(record)],
        tables=[table for table in tables if table is not None and table.rows],
        figures=[figure for view in views for figure in view.figures(record)],
        notes=[note for note in notes if note],
    )


def _tables(sections: Iterable[Section]) -> Iterable[Table]:
    for section in sections:
        yield from section.tables
        yield from _tables(section.sections)
