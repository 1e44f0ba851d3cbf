"""Two of the miniatures, run from the command line on the images that come along, and how their reports look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient
from watched_page import look

from pretrieve.paper.catalogue import EXPERIMENTS
from pretrieve.tracking import schema

if TYPE_CHECKING:
    from conftest import Miniatures
    from playwright.sync_api import Browser

pytestmark = pytest.mark.long


def test_a_table_and_a_figure_end_in_their_reports(miniatures: Miniatures) -> None:
    storage, printed = miniatures.storage, miniatures.printed["figure2b"]
    assert "Expected groups among those selected, in %" in printed
    assert "98.31" in printed
    figure = (storage / "figure2b" / "report.html").read_text(encoding="utf-8")
    assert figure.count("<svg") == 2
    assert "greek small letter" in figure
    assert "of 19 expected groups are among the first 40" in figure

    printed = miniatures.printed["table3"]
    assert "table3 1 of 1: long tail" in printed
    assert "The paper's numbers, Table 3" in printed
    table = (storage / "table3" / "report.html").read_text(encoding="utf-8")
    assert "What is missing" not in table
    for word in ("greek", "armenian", "symbols", "57.27", "a ratio of 5 in place of 10"):
        assert word in table
    assert (storage / "table3" / "studies" / "long-tail.html").exists()
    assert "epochs: 2; in the paper: 100" in table, "what was set beside the file is listed as well"
    (database,) = storage.glob("*/mlflow.db")
    client = MlflowClient(f"sqlite:///{database}")
    (experiment,) = (each for each in client.search_experiments() if each.name != "Default")
    (study,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'")
    (logged,) = client.list_artifacts(study.info.run_id, "experiments/table3")
    assert logged.path == "experiments/table3/report.html", "MLflow's pages show the published numbers too"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_reports_of_the_papers_experiments_hold_their_layout(
    browser: Browser, miniatures: Miniatures, width: int, scheme: str
) -> None:
    for name in miniatures.printed:
        report = miniatures.storage / name / "report.html"
        look(browser, report, f"{EXPERIMENTS[name].place} · Pretrieve", width, scheme)
