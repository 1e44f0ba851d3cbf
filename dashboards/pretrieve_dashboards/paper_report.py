"""An experiment of the paper: our numbers and the published ones, as one HTML file and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from pretrieve_dashboards.paper_comparison import Comparison, Published, RowAndColumn, Value
from pretrieve_dashboards.report import Page, Section, render_page
from pretrieve_dashboards.table_of_scores import printed_table
from pretrieve_dashboards.view_table import numeric, row
from pretrieve_dashboards.views import Figure, Lines, Table, TableCell
from pretrieve_dashboards.wording import ui_command


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, which contains its text alternative, and a caption."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """A table of words, with one word per heading in each row."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Findings:
    """The results of an experiment, as far as it has run; the first comparison answers its question."""

    comparisons: tuple[Comparison, ...]
    drawings: tuple[Drawing, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True)
class ExperimentView:
    """Everything that the report of an experiment shows.

    Attributes:
      name: its name in `pretrieve reproduce`.
      place: its table, figure or section in the paper.
      question: the question that it answers.
      deviations: sentences that say how this run departs from the paper's protocol.
      missing: sentences that say what failed or has not run yet.
      studies: path of each study's report, relative to this report's folder, by point of the series.
      stores: MLflow's tracking URI, by name of the study.
      run_pages: address of a run in MLflow's UI, by run id, as far as it is known.
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
    """Write the report of an experiment. A missing folder is created.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_experiment(view), encoding="utf-8")


def render_experiment(view: ExperimentView) -> str:
    """Render a finished or unfinished experiment as self-contained HTML. Everything from data is escaped."""
    found = view.findings
    drawings = [Figure(drawing.svg, drawing.caption, "wide") for drawing in found.drawings]
    listings = [Table(each.title, "", each.headings, [row(*words) for words in each.rows]) for each in found.listings]
    sections = [
        *([Section("What is missing", "missing", style="notice", lists=[Lines(view.missing)])] if view.missing else []),
        *(_comparison(comparison, number) for number, comparison in enumerate(found.comparisons, start=1)),
        *([Section("Figures", "figures", figures=drawings)] if drawings else []),
        *(Section(each.label, f"listing-{number}", tables=[each]) for number, each in enumerate(listings, start=1)),
        Section(
            "How this run departs from the paper",
            "deviations",
            texts=() if view.deviations else ["No differences are known."],
            lists=[Lines(view.deviations)] if view.deviations else (),
        ),
        *([_sources(view)] if view.studies else []),
    ]
    anchors = {anchor: anchor for anchor, _, _ in _numbers_with_runs(found)}
    page = Page(view.place, view.question, sections, anchors=anchors, href=lambda name: f"#{name}" if name else "")
    return render_page(page)


def _numbers_with_runs(findings: Findings) -> list[tuple[str, RowAndColumn, Value]]:
    """List our numbers that come from runs, each with its anchor in the page."""
    return [
        (anchor, at, comparison.values[at])
        for number, comparison in enumerate(findings.comparisons, start=1)
        for at in product(comparison.rows, comparison.columns)
        if (anchor := _anchor(comparison, number, at))
    ]


def _anchor(comparison: Comparison, number: int, at: RowAndColumn) -> str | None:
    """Return the anchor of the list of a number's MLflow runs; None if it comes from no runs."""
    value = comparison.values.get(at)
    if value is None or not value.run_ids:
        return None
    return f"runs-{number}-{comparison.rows.index(at[0]) + 1}-{comparison.columns.index(at[1]) + 1}"


def _comparison(comparison: Comparison, number: int) -> Section:
    published, stands_apart = comparison.published, comparison.stands_apart
    caption = "In %, ± half of the 95% interval where there are several seeds; —: not known yet."
    if published and not stands_apart:
        caption += f" Below each number: the paper's ({published.source}), and how much ours differs from it."
    rows = [
        row(name, *(_compared_cell(comparison, number, (name, column)) for column in comparison.columns))
        for name in comparison.rows
    ]
    head = (comparison.heading, *comparison.columns)
    table = Table(comparison.title, caption, head, rows, style="pinned")
    papers = [_published_section(comparison, published)] if published and stands_apart else []
    return Section(comparison.title, f"comparison-{number}", tables=[table], sections=papers)


def _compared_cell(comparison: Comparison, number: int, at: RowAndColumn) -> TableCell:
    anchor = _anchor(comparison, number, at)
    return TableCell(comparison.cell_text(*at), anchor, is_number=True, below=comparison.printed_text(*at))


def _published_section(comparison: Comparison, published: Published) -> Section:
    caption = f"{published.source}, in %. Its data differ from ours, so its numbers are not shown beside ours."
    rows = [
        row(name, *(numeric(published.text(name, column)) for column in published.columns)) for name in published.rows
    ]
    head = (comparison.heading, *published.columns)
    label = f"The paper's numbers: {comparison.title}"
    return Section("The paper's numbers", tables=[Table(label, caption, head, rows, style="pinned")])


def _sources(view: ExperimentView) -> Section:
    link, code = Markup('<a href="{}">the whole study\'s report</a>'), Markup("<code>{}</code>")
    facts = {point: link.format(quote(path)) for point, path in view.studies.items()}
    facts |= {f"MLflow, experiment {name}": code.format(ui_command(uri)) for name, uri in view.stores.items()}
    title, label = "Where the numbers come from", "The MLflow runs of each number"
    traced = _numbers_with_runs(view.findings)
    where = Table(title, "", (), [row(*fact) for fact in facts.items()], style="facts")
    head = ("row", "column", "%", "MLflow runs of its refits")
    rows = [row(*at, numeric(value.to_text()), _run_ids(value, view.run_pages)) for _, at, value in traced]
    runs = Table(label, "", head, rows, row_runs=[anchor for anchor, _, _ in traced], folded=label)
    return Section(title, "sources", tables=[where, *([runs] if traced else [])])


def _run_ids(value: Value, pages: Mapping[str, str]) -> str:
    linked, entry = Markup('<a href="{}">{}</a>'), Markup('<span class="id">{}</span>')
    shown = [linked.format(pages[run_id], run_id) if run_id in pages else run_id for run_id in value.run_ids]
    return Markup("").join(entry.format(each) for each in shown)


def print_experiment(view: ExperimentView, console: Console, *, report_path: Path) -> None:
    """Print a finished or unfinished experiment: its tables, what is missing, and the path of its report."""
    console.print(Text(f"{view.place}: {view.question}", style="bold"))
    for number, comparison in enumerate(view.findings.comparisons, start=1):
        section = _comparison(comparison, number)
        source = comparison.published.source if comparison.published else ""
        for part, heading in zip(
            (section, *section.sections), (f"{comparison.title}, in %", f"The paper's numbers, {source}"), strict=False
        ):
            console.print(Text(f"\n{heading}", style="bold"))
            console.print(printed_table(part.tables[0].head, part.tables[0].rows))
    for heading, lines in (("Missing", view.missing), ("How this run departs from the paper", view.deviations)):
        for line in (Text(f"\n{heading}", style="bold"), *(Text(f"  {line}") for line in lines)) if lines else ():
            console.print(line)
    console.print(Text(f"\nreport  {report_path}"), soft_wrap=True)
