"""The report as people see it: on a telephone and on a desk, light and dark, and by those who cannot see it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient
from watched_page import Watched, look

from pretrieve.intervals import mean_and_ci95
from pretrieve.tracking import schema
from pretrieve_dashboards import load_study
from pretrieve_dashboards.mlflow_notes import runs_view_address

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.clusters

A4_WIDTH = 703
"""Of a page less its margins of 12 mm, in CSS pixels."""

WHO_IS_LOGGED_IN = "/ajax-api/2.0/mlflow/users/current"
"""MLflow's pages ask for this, and a server without logins does not have it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_report_holds_its_layout_and_has_no_serious_fault(
    browser: Browser, demo_folder: Path, width: int, scheme: str
) -> None:
    look(browser, demo_folder / "report.html", "demo · Pretrieve", width, scheme)


def test_the_tables_numbers_are_those_of_mlflow(browser: Browser, demo_folder: Path) -> None:
    page = Watched.open(browser, width=1440).page
    page.goto((demo_folder / "report.html").as_uri())
    table = page.locator("section[aria-labelledby=table] table")
    targets = table.locator("thead th").all_inner_texts()[1:]
    shown = {}
    for row in table.locator("tbody tr").all():
        scores = dict(zip(targets, row.locator("td").all_inner_texts(), strict=True))
        scores.pop("average")
        shown |= {(target, row.locator("th").inner_text()): score for target, score in scores.items()}
    client = MlflowClient(f"sqlite:///{demo_folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    refits = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_REFIT}'")
    found: dict[tuple[str, str], list[float]] = {}
    for refit in refits:
        cell = refit.data.tags[schema.TAG_TARGET], refit.data.tags[schema.TAG_METHOD]
        found.setdefault(cell, []).append(100 * refit.data.metrics[schema.TEST_SCORE])
    expected = {cell: "{:.1f} ± {:.1f}".format(*mean_and_ci95(scores)) for cell, scores in found.items()}
    assert shown == expected
    assert len(expected) >= 2 * 5


def test_the_chosen_groups_are_seen(browser: Browser, demo_folder: Path) -> None:
    page = Watched.open(browser, width=1440).page
    page.goto((demo_folder / "report.html").as_uri())
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) >= 2 * 2 * 10, "ten groups of each of two methods that select, on every target"
    assert min(widths) > 0


def test_the_report_fits_on_paper(browser: Browser, demo_folder: Path) -> None:
    page = Watched.open(browser, width=A4_WIDTH).page
    page.emulate_media(media="print")
    page.goto((demo_folder / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH


def test_the_readmes_pictures_can_be_taken(browser: Browser, mlflow_ui: str, demo_folder: Path, tmp_path: Path) -> None:
    """Takes them; with PRETRIEVE_PICTURES into the folder that it names, where they are to be kept."""
    folder = Path(os.environ.get("PRETRIEVE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page = Watched.open(browser, width=1440, height=1000).page
    page.goto((demo_folder / "report.html").as_uri())
    page.screenshot(path=folder / "report.png")
    groups = page.get_by_role("region", name="Selected groups for greek")
    groups.scroll_into_view_if_needed()
    groups.screenshot(path=folder / "groups.png")
    record = load_study(f"sqlite:///{demo_folder / 'mlflow.db'}", "demo")
    page.goto(f"{mlflow_ui}/{runs_view_address(record)}")
    page.get_by_role("columnheader", name="test/score_mean", exact=True).first.wait_for(timeout=60_000)
    cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name="demo", exact=True)).first
    cell.get_by_role("button").first.click()
    page.get_by_role("link", name="greek · uot", exact=True).first.wait_for(timeout=60_000)
    page.screenshot(path=folder / "runs.png")
    assert {picture.name for picture in folder.iterdir()} >= {"report.png", "groups.png", "runs.png"}


def test_the_address_that_is_printed_opens_the_studys_own_page(browser: Browser, study_page: str) -> None:
    page = Watched.open(browser, width=1440).page
    page.goto(study_page)
    page.get_by_role("heading", name="demo", exact=True).first.wait_for(timeout=60_000)


def test_mlflows_pages_show_the_studys_tree_and_its_report(browser: Browser, mlflow_ui: str, demo_folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{demo_folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    trials = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRIAL}' "
        f"and tags.`{schema.TAG_METHOD}` = 'uot' and tags.`{schema.TAG_TARGET}` = 'greek'",
    )
    trial_name = trials[0].info.run_name
    watched = Watched.open(browser, width=1440)
    page = watched.page
    page.goto(f"{mlflow_ui}/#/experiments/{experiment.experiment_id}/runs")
    for parent, child in (("demo", "greek · uot"), ("greek · uot", trial_name)):
        cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=parent, exact=True)).first
        cell.wait_for(timeout=60_000)
        assert page.get_by_role("link", name=child, exact=True).count() == 0, "not before its parent is opened"
        cell.get_by_role("button").first.click()
        page.get_by_role("link", name=child, exact=True).first.wait_for(timeout=60_000)

    page.set_viewport_size({"width": 3_000, "height": 900})  # the grid draws only the columns that are in sight
    record = load_study(f"sqlite:///{demo_folder / 'mlflow.db'}", "demo")
    page.goto(f"{mlflow_ui}/{runs_view_address(record)}")
    for column in ("val/score", "lr", "source_weight"):
        page.get_by_role("columnheader", name=column, exact=True).first.wait_for(timeout=60_000)

    (study,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'")
    page.goto(f"{mlflow_ui}/#/experiments/{experiment.experiment_id}/runs/{study.info.run_id}/artifacts/report.html")
    report = page.frame_locator("iframe")
    report.get_by_role("heading", name="Test scores").wait_for(timeout=60_000)
    assert [told for told in watched.complaints if not told.endswith(WHO_IS_LOGGED_IN)] == []
