"""The report of an experiment, made from a view by hand."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from pretrieve_dashboards.paper_comparison import Comparison, Value, published_table
from pretrieve_dashboards.paper_figures import Curve, draw_curves
from pretrieve_dashboards.paper_report import (
    Drawing,
    ExperimentView,
    Findings,
    Listing,
    print_experiment,
    render_experiment,
    write_experiment,
)

PUBLISHED = published_table("Table 9", ("cub",), {"uot": (77.21,), "finetune": (75.49,)})
HOSTILE = "<script>alert(1)</script>"


class Words(HTMLParser):
    """Collects the visible text and the addresses, and checks that every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.references: list[str | None] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "link", "br", "img", "hr", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data.split()


@pytest.fixture
def view() -> ExperimentView:
    ours = {("uot", "cub"): Value(0.7721, 0.01, ("run-7", "run-8")), ("finetune", HOSTILE): Value(0.5)}
    beside = Comparison("Test score", "method", ("finetune", "uot"), ("cub", HOSTILE), ours, PUBLISHED)
    apart = Comparison("Score of others", "method", ("uot",), ("greek",), {}, PUBLISHED)
    svg = draw_curves("Curve", [1.0], [Curve("uot", (Value(0.5),))], x_label="x", y_label="y")
    return ExperimentView(
        name="table9",
        place="Table 9",
        question="Does it help?",
        findings=Findings(
            (beside, apart),
            (Drawing("A curve.", svg),),
            (Listing("First groups", ("rank", "group"), (("1", HOSTILE),)),),
        ),
        deviations=("fewer epochs",),
        missing=("20%: not run yet",),
        studies={"20%": "studies/20.html"},
        stores={"mini": "sqlite:////runs/mini/mlflow.db"},
        run_pages={"run-7": "http://mlflow/run-7"},
    )


def test_report_has_ours_the_papers_the_deviations_and_where_numbers_come_from(view: ExperimentView) -> None:
    text = " ".join(Words(render_experiment(view)).words)
    for part in (
        "Does it help?",
        "77.21 ± 1.00",
        "paper 77.21 (equal)",
        "paper 75.49",
        "The paper's numbers",
        "fewer epochs",
        "20%: not run yet",
        "run-7",
        "run-8",
        "pretrieve ui /runs/mini",
        "A curve.",
        "First groups",
    ):
        assert part in text


def test_report_is_one_file_with_nothing_from_elsewhere_and_data_escaped(view: ExperimentView) -> None:
    html = render_experiment(view)
    assert HOSTILE not in html
    references = {str(reference) for reference in Words(html).references}
    assert {each for each in references if not each.startswith("#")} == {"studies/20.html", "http://mlflow/run-7"}
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_a_number_leads_to_the_runs_it_is_from(view: ExperimentView) -> None:
    html = render_experiment(view)
    (place,) = re.findall(r'<a href="#(runs-[\d-]+)">77.21 ± 1.00</a>', html)
    (row,) = re.findall(rf'<tr id="{place}">.*?</tr>', html)
    assert '<a href="http://mlflow/run-7">run-7</a>' in row
    assert ">run-8<" in row
    assert html.count('id="runs-') == 1


def test_report_looks_like_a_studys(view: ExperimentView, finished_study) -> None:  # type: ignore[no-untyped-def]
    from pretrieve_dashboards import render_report

    style = re.compile(r"<style>.*?</style>", re.DOTALL)
    assert style.search(render_experiment(view))[0] == style.search(render_report(finished_study))[0]  # type: ignore[index]


def test_an_experiment_without_departures_studies_or_gaps_says_nothing_of_them(view: ExperimentView) -> None:
    bare = ExperimentView("table9", "Table 9", "Does it help?", Findings(view.findings.comparisons))
    text = " ".join(Words(render_experiment(bare)).words)
    assert "No differences are known." in text
    assert "What is missing" not in text
    assert "Where the numbers come from" not in text


def test_an_experiment_without_a_number_yet_shows_its_columns() -> None:
    begun = Comparison("Test score", "method", (), ("cub",), {}, PUBLISHED)
    listing = Listing("First groups", ("rank", "group"), ())
    text = " ".join(Words(render_experiment(ExperimentView("x", "X", "?", Findings((begun,), (), (listing,))))).words)
    assert "method cub" in text
    assert "rank group" in text


def test_report_is_written_into_a_folder_that_is_made(view: ExperimentView, tmp_path: Path) -> None:
    write_experiment(view, tmp_path / "table9" / "report.html")
    assert (tmp_path / "table9" / "report.html").read_text(encoding="utf-8") == render_experiment(view)


def test_the_terminal_has_the_same_numbers(view: ExperimentView) -> None:
    text = io.StringIO()
    print_experiment(view, Console(file=text, width=140, color_system=None), report_path=Path("/x/report.html"))
    printed = text.getvalue()
    for part in (
        "77.21 ± 1.00",
        "paper 77.21 (equal)",
        "The paper's numbers, Table 9",
        "75.49",
        "20%: not run yet",
        "fewer epochs",
        "/x/report.html",
    ):
        assert part in printed
