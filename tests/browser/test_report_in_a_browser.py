"""The report as people see it: on a telephone and on a desk, light and dark, and by those who cannot see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient
from watched_page import Watched

from pretrieve.experiments import EXPERIMENTS
from pretrieve.tracking import schema
from pretrieve_dashboards import load_study
from pretrieve_dashboards.runs_view import runs_view_address

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

WHO_IS_LOGGED_IN = "/ajax-api/2.0/mlflow/users/current"
"""MLflow's pages ask for this, and a server without logins does not have it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_report_holds_its_layout_and_has_no_serious_fault(
    browser: Browser, study_folder: Path, width: int, scheme: str
) -> None:
    _look(browser, study_folder / "report.html", "browsed · Pretrieve", width, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_reports_of_the_papers_experiments_hold_theirs(
    browser: Browser, experiment_reports: dict[str, Path], width: int, scheme: str
) -> None:
    for name, path in experiment_reports.items():
        _look(browser, path, f"{EXPERIMENTS[name].place} · Pretrieve", width, scheme)


def _look(browser: Browser, report: Path, title: str, width: int, scheme: str) -> None:
    """Open a page and check that it fits, complains of nothing, and has no serious fault of accessibility."""
    from axe_playwright_python.sync_playwright import Axe

    watched = Watched.open(browser, width=width, scheme=scheme)
    page = watched.page
    page.goto(report.as_uri())
    assert page.title() == title
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out of the page"
    found = Axe().run(page).response["violations"]
    assert [
        (fault["id"], fault["nodes"][0]["html"]) for fault in found if fault["impact"] in ("serious", "critical")
    ] == []
    assert watched.complaints == []


def test_the_tables_numbers_are_those_of_mlflow(browser: Browser, study_folder: Path) -> None:
    page = Watched.open(browser, width=1440).page
    page.goto((study_folder / "report.html").as_uri())
    table = page.locator("section[aria-labelledby=table] table")
    shown = {
        row.locator("th").inner_text(): row.locator("td").first.inner_text() for row in table.locator("tbody tr").all()
    }
    client = MlflowClient(f"sqlite:///{study_folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("browsed")
    assert experiment is not None
    cells = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_CELL}'")
    expected = {}
    for cell in cells:
        mean, ci95 = (100 * cell.data.metrics[name] for name in (schema.TEST_MEAN, schema.TEST_CI95))
        expected[cell.data.tags[schema.TAG_METHOD]] = f"{mean:.1f} ± {ci95:.1f}"
    assert shown == expected
    assert len(expected) == 2


def test_mlflows_pages_show_the_studys_tree_and_its_report(
    browser: Browser, mlflow_ui: str, study_folder: Path
) -> None:
    client = MlflowClient(f"sqlite:///{study_folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("browsed")
    assert experiment is not None
    trials = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRIAL}' and tags.`{schema.TAG_METHOD}` = 'uot'",
    )
    trial_name = trials[0].info.run_name
    watched = Watched.open(browser, width=1440)
    page = watched.page
    page.goto(f"{mlflow_ui}/#/experiments/{experiment.experiment_id}/runs")
    for parent, child in (("browsed", "target · uot"), ("target · uot", trial_name)):
        cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=parent, exact=True)).first
        cell.wait_for(timeout=60_000)
        assert page.get_by_role("link", name=child, exact=True).count() == 0, "not before its parent is opened"
        cell.get_by_role("button").first.click()
        page.get_by_role("link", name=child, exact=True).first.wait_for(timeout=60_000)

    page.set_viewport_size({"width": 3_000, "height": 900})  # the grid draws only the columns that are in sight
    record = load_study(f"sqlite:///{study_folder / 'mlflow.db'}", "browsed")
    page.goto(f"{mlflow_ui}/{runs_view_address(record)}")
    for column in ("val/score", "lr", "source_weight"):
        page.get_by_role("columnheader", name=column, exact=True).first.wait_for(timeout=60_000)

    (study,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'")
    page.goto(f"{mlflow_ui}/#/experiments/{experiment.experiment_id}/runs/{study.info.run_id}/artifacts/report.html")
    report = page.frame_locator("iframe")
    report.get_by_role("heading", name="Test scores").wait_for(timeout=60_000)
    assert [told for told in watched.complaints if not told.endswith(WHO_IS_LOGGED_IN)] == []
