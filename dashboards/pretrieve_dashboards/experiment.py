"""An experiment of the paper: our numbers beside the published ones, as one HTML file and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from pretrieve_dashboards.comparison import Comparison, Place, Published, Value
from pretrieve_dashboards.report import Page, Section, render_page
from pretrieve_dashboards.table import printed_table
from pretrieve_dashboards.view_table import numeric, row
from pretrieve_dashboards.views import Figure, Lines, Table, TableCell
from pretrieve_dashboards.wording import ui_command


@dataclass(frozen=True)
class Drawing:
    """A figure with what it shows; the SVG has a text alternative of its own."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """A table of words: as many in each row as there are headings."""

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
        Section("What is missing", "missing", style="notice", lists=[Lines(view.missing)]) if view.missing else None,
        *(_comparison(comparison, number) for number, comparison in enumerate(found.comparisons, start=1)),
        Section("Drawn", "drawn", figures=drawings) if drawings else None,
        *(_listing(listing, number) for number, listing in enumerate(found.listings, start=1)),
        Section(
            "How this run departs from the paper",
            "deviations",
            texts=() if view.deviations else ["In nothing that is known."],
            lists=[Lines(view.deviations)] if view.deviations else (),
        ),
        _sources(view) if view.studies else None,
    ]
    places = {name: f"runs-{name}" for name, _, _ in _traced(found)}
    shown = [section for section in sections if section is not None]
    return render_page(
        Page(view.place, view.question, shown, places=places, href=lambda name: f"#runs-{name}" if name else "")
    )


def _traced(findings: Findings) -> list[tuple[str, Place, Value]]:
    """List our numbers that are from runs, each with a name by which its place in the page is found."""
    return [
        (_name(number, comparison, place), place, value)
        for number, comparison in enumerate(findings.comparisons, start=1)
        for place in product(comparison.rows, comparison.columns)
        if (value := comparison.values.get(place)) is not None and value.run_ids
    ]


def _name(number: int, comparison: Comparison, place: Place) -> str:
    return f"{number}-{comparison.rows.index(place[0]) + 1}-{comparison.columns.index(place[1]) + 1}"


def _comparison(comparison: Comparison, number: int) -> Section:
    published, stands_apart = comparison.published, comparison.stands_apart
    caption = "In %, ± half of the 95% interval where there are several seeds; —: not known yet."
    if published and not stands_apart:
        caption += f" Below ours the paper's ({published.source}), and by how much ours differs."
    rows = [
        row(name, *(_beside_the_papers(comparison, number, (name, column)) for column in comparison.columns))
        for name in comparison.rows
    ]
    head = (comparison.heading, *comparison.columns)
    table = Table(comparison.title, caption, head, rows, style="pinned")
    papers = [_the_papers(comparison, published)] if published and stands_apart else []
    return Section(comparison.title, f"comparison-{number}", tables=[table], sections=papers)


def _beside_the_papers(comparison: Comparison, number: int, place: Place) -> TableCell:
    value = comparison.values.get(place)
    name = _name(number, comparison, place) if value is not None and value.run_ids else None
    return TableCell(comparison.cell_text(*place), name, is_number=True, below=comparison.printed_text(*place))


def _the_papers(comparison: Comparison, published: Published) -> Section:
    caption = f"{published.source}, in %. Its data are others than ours, so that no number stands beside one of ours."
    rows = [
        row(name, *(numeric(published.text(name, column)) for column in published.columns)) for name in published.rows
    ]
    head = (comparison.heading, *published.columns)
    label = f"The paper's numbers: {comparison.title}"
    return Section("The paper's numbers", tables=[Table(label, caption, head, rows, style="pinned")])


def _listing(listing: Listing, number: int) -> Section:
    table = Table(listing.title, "", listing.headings, [row(*words) for words in listing.rows])
    return Section(listing.title, f"listing-{number}", tables=[table])


def _sources(view: ExperimentView) -> Section:
    link, code = Markup('<a href="{}">the whole study\'s report</a>'), Markup("<code>{}</code>")
    facts = {point: link.format(quote(path)) for point, path in view.studies.items()}
    facts |= {f"MLflow, experiment {name}": code.format(ui_command(uri)) for name, uri in view.stores.items()}
    title, label, traced = "Where the numbers come from", "The MLflow runs of each number", _traced(view.findings)
    where = Table(title, "", (), [row(*fact) for fact in facts.items()], style="facts")
    runs = Table(
        label,
        "",
        ("row", "column", "%", "MLflow runs of its refits"),
        [row(*place, numeric(value.to_text()), _run_ids(value, view.run_pages)) for _, place, value in traced],
        row_runs=[name for name, _, _ in traced],
        folded=label,
    )
    return Section(title, "sources", tables=[where, *([runs] if traced else [])])


def _run_ids(value: Value, pages: Mapping[str, str]) -> str:
    linked, entry = Markup('<a href="{}">{}</a>'), Markup('<span class="id">{}</span>')
    shown = [linked.format(pages[run_id], run_id) if run_id in pages else run_id for run_id in value.run_ids]
    return Markup("").join(entry.format(each) for each in shown)


def print_experiment(view: ExperimentView, console: Console, *, report_path: Path) -> None:
    """Print an experiment, finished or not: its tables, what is missing, and where the report is."""
    console.print(Text(f"{view.place}: {view.question}", style="bold"))
    for number, comparison in enumerate(view.findings.comparisons, start=1):
        section = _comparison(comparison, number)
        console.print(Text(f"\n{comparison.title}, in %", style="bold"))
        console.print(printed_table(section.tables[0].head, section.tables[0].rows))
        if comparison.published and comparison.stands_apart:
            papers = _the_papers(comparison, comparison.published).tables[0]
            console.print(Text(f"\nThe paper's numbers, {comparison.published.source}", style="bold"))
            console.print(printed_table(papers.head, papers.rows))
    for heading, lines in (("Missing", view.missing), ("How this run departs from the paper", view.deviations)):
        for line in (Text(f"\n{heading}", style="bold"), *(Text(f"  {line}") for line in lines)) if lines else ():
            console.print(line)
    console.print(Text(f"\nreport  {report_path}"), soft_wrap=True)
