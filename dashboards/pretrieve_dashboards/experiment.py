"""An experiment of the paper: our numbers beside the published ones, as one HTML file and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from rich.console import Console
from rich.table import Table as PrintedTable
from rich.text import Text

from pretrieve_dashboards import wording
from pretrieve_dashboards.comparison import Comparison, Published, Value
from pretrieve_dashboards.report import Page, Section, render_page
from pretrieve_dashboards.table import empty_table
from pretrieve_dashboards.views import Figure, Lines, Table, TableCell
from pretrieve_dashboards.views._base import numbers, words


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
      caption: what it shows.
      svg: with a text alternative of its own.
    """

    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """A table of words.

    Attributes:
      title: what it lists.
      headings: of the columns.
      rows: as many words each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What the results of an experiment come to, so far.

    Attributes:
      comparisons: its tables, first the one that answers the question.
      drawings: its figures.
      listings: what else is to be read.
    """

    comparisons: tuple[Comparison, ...]
    drawings: tuple[Drawing, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True)
class ExperimentView:
    """Everything that the report of an experiment says.

    Attributes:
      name: what `pretrieve reproduce` calls it.
      place: where it stands in the paper.
      question: what it answers.
      findings: the answer, so far.
      deviations: how this run departs from the paper's protocol, a sentence each.
      missing: what there is not yet, or went wrong; empty where it is whole.
      studies: by the point of the series, the report of its study, relative to this report's folder.
      stores: MLflow's address by the name of the study.
      run_pages: where a run is shown in MLflow's UI, by its id, where that is known.
    """

    name: str
    place: str
    question: str
    findings: Findings
    deviations: Sequence[str] = ()
    missing: Sequence[str] = ()
    studies: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    run_pages: Mapping[str, str] = field(default_factory=dict)


def write_experiment(view: ExperimentView, path: Path) -> None:
    """Write the report; its folder is made where there is none.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_experiment(view), encoding="utf-8")


def render_experiment(view: ExperimentView) -> str:
    """Render an experiment, finished or not: what there is, and what is missing.

    Returns:
      HTML without a script or anything from elsewhere; everything that comes from data is escaped.
    """
    found = view.findings
    drawings = [Figure(drawing.svg, drawing.caption, "wide") for drawing in found.drawings]
    sections = [
        *([Section("What is missing", "missing", style="notice", lists=[Lines(view.missing)])] if view.missing else []),
        *(_comparison(comparison, number) for number, comparison in enumerate(found.comparisons, start=1)),
        *([Section("Drawn", "drawn", figures=drawings)] if drawings else []),
        *(_listing(listing, number) for number, listing in enumerate(found.listings, start=1)),
        _deviations(view.deviations),
        *([_sources(view)] if view.studies else []),
    ]
    runs = [place for number, each in enumerate(found.comparisons, start=1) for place, _, _ in _traced(each, number)]
    places = {place: f"runs-{place}" for place in runs}
    page = Page(
        view.place, view.question, sections, places=places, href=lambda place: f"#runs-{place}" if place else ""
    )
    return render_page(page)


def _traced(comparison: Comparison, number: int) -> Iterator[tuple[str, tuple[str, str], Value]]:
    """Yield a name, the row and column, and our number of each that is from runs."""
    for line, row in enumerate(comparison.rows, start=1):
        for place, column in enumerate(comparison.columns, start=1):
            value = comparison.values.get((row, column))
            if value is not None and value.run_ids:
                yield f"{number}-{line}-{place}", (row, column), value


def _comparison(comparison: Comparison, number: int) -> Section:
    published, names = comparison.published, {place: name for name, place, _ in _traced(comparison, number)}
    caption = "In %, ± half of the 95% interval where there are several seeds; —: not known yet."
    if published and not comparison.stands_apart:
        caption += f" Below ours the paper's ({published.source}), and by how much ours differs."
    rows = [
        (*words(row), *(_ours_beside(comparison, (row, column), names) for column in comparison.columns))
        for row in comparison.rows
    ]
    head = (comparison.heading, *comparison.columns)
    table = Table(comparison.title, caption, head, tuple(rows), style="pinned")
    papers = [_papers_section(comparison, published)] if published and comparison.stands_apart else []
    return Section(comparison.title, f"comparison-{number}", tables=[table], sections=papers)


def _ours_beside(comparison: Comparison, place: tuple[str, str], names: Mapping[tuple[str, str], str]) -> TableCell:
    ours, papers = comparison.cell_text(*place), comparison.printed_text(*place)
    below = Markup('<div class="soft">{}</div>').format(papers) if papers else ""
    return TableCell(ours, names.get(place), is_number=True, below=below)


def _papers_section(comparison: Comparison, published: Published) -> Section:
    caption = f"{published.source}, in %. Its data are others than ours, so that no number stands beside one of ours."
    rows = [(*words(row), *numbers(_papers_row(published, row))) for row in published.rows]
    head = (comparison.heading, *published.columns)
    label = f"The paper's numbers: {comparison.title}"
    return Section("The paper's numbers", tables=[Table(label, caption, head, tuple(rows), style="pinned")])


def _papers_row(published: Published, row: str) -> list[str]:
    values = [published.values.get((row, column)) for column in published.columns]
    return ["" if value is None else f"{value:.2f}" for value in values]


def _listing(listing: Listing, number: int) -> Section:
    table = Table(listing.title, "", listing.headings, tuple(tuple(words(*row)) for row in listing.rows))
    return Section(listing.title, f"listing-{number}", tables=[table])


def _deviations(deviations: Sequence[str]) -> Section:
    title, nothing = "How this run departs from the paper", ["In nothing that is known."]
    texts, lists = ([], [Lines(deviations)]) if deviations else (nothing, [])
    return Section(title, "deviations", texts=texts, lists=lists)


def _sources(view: ExperimentView) -> Section:
    link, code = Markup('<a href="{}">the whole study\'s report</a>'), Markup("<code>{}</code>")
    facts = {point: link.format(quote(path)) for point, path in view.studies.items()}
    facts |= {f"MLflow, experiment {name}": code.format(wording.ui_command(uri)) for name, uri in view.stores.items()}
    where = Table(
        "Where the numbers come from", "", (), tuple(tuple(words(*fact)) for fact in facts.items()), style="facts"
    )
    traced = [each for number, one in enumerate(view.findings.comparisons, start=1) for each in _traced(one, number)]
    runs = Table(
        "The MLflow runs of each number",
        "",
        ("row", "column", "%", "MLflow runs of its refits"),
        tuple(
            (*words(row, column), *numbers([value.to_text()]), *words(_run_ids(value, view.run_pages)))
            for _, (row, column), value in traced
        ),
        row_runs=tuple(name for name, _, _ in traced),
        folded="The MLflow runs of each number",
    )
    return Section("Where the numbers come from", "sources", tables=[where, *([runs] if traced else [])])


def _run_ids(value: Value, pages: Mapping[str, str]) -> str:
    linked, entry = Markup('<a href="{}">{}</a>'), Markup('<span class="id">{}</span>')
    shown = [linked.format(pages[run_id], run_id) if run_id in pages else run_id for run_id in value.run_ids]
    return Markup("").join(entry.format(each) for each in shown)


def print_experiment(view: ExperimentView, console: Console, *, report_path: Path) -> None:
    """Print an experiment, finished or not.

    Args:
      view: the experiment.
      console: where to.
      report_path: where the HTML report lies.
    """
    _line(console, f"{view.place}: {view.question}", "bold")
    for comparison in view.findings.comparisons:
        _line(console, f"\n{comparison.title}, in %", "bold")
        console.print(_ours(comparison))
        if comparison.stands_apart and comparison.published is not None:
            _line(console, f"\nThe paper's numbers, {comparison.published.source}", "bold")
            console.print(_the_papers(comparison.published, comparison.heading))
    for heading, lines in (("Missing", view.missing), ("How this run departs from the paper", view.deviations)):
        if lines:
            _line(console, f"\n{heading}", "bold")
            for line in lines:
                _line(console, f"  {line}")
    _line(console, f"\nreport  {report_path}", is_for_copying=True)


def _ours(comparison: Comparison) -> PrintedTable:
    printed = _with_columns(comparison.heading, comparison.columns)
    for row in comparison.rows:
        printed.add_row(Text(row), *(Text(comparison.cell_text(row, column)) for column in comparison.columns))
        papers = [comparison.printed_text(row, column) for column in comparison.columns]
        if any(papers):
            printed.add_row(Text(""), *(Text(text, style="dim") for text in papers))
    return printed


def _the_papers(published: Published, heading: str) -> PrintedTable:
    printed = _with_columns(heading, published.columns)
    for row in published.rows:
        printed.add_row(*map(Text, (row, *_papers_row(published, row))))
    return printed


def _with_columns(heading: str, columns: tuple[str, ...]) -> PrintedTable:
    printed = empty_table()
    printed.add_column(heading, overflow="fold")
    for column in columns:
        printed.add_column(Text(column), justify="right", overflow="fold")
    return printed


def _line(console: Console, text: str, style: str = "", *, is_for_copying: bool = False) -> None:
    console.print(Text(text, style=style), soft_wrap=is_for_copying)
