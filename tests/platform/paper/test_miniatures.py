"""Two of the miniatures, run from the command line on the images that come along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from smaller_miniatures import make_smaller

from pretrieve.cli import app as cli
from pretrieve.paper import catalogue
from pretrieve.tracking import schema

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


def run(*words: str) -> None:
    cli.app(["reproduce", *words], standalone_mode=False)


@pytest.mark.usefixtures("ray_cluster")
def test_a_table_and_a_figure_end_in_their_reports(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    make_smaller(monkeypatch)
    run("figure2b", "--mini", "--storage", str(storage))
    printed = capsys.readouterr().out
    assert "Expected groups among those selected, in %" in printed
    assert "98.31" in printed
    figure = (storage / "figure2b" / "report.html").read_text(encoding="utf-8")
    assert figure.count("<svg") == 2
    assert "greek small letter" in figure
    assert "of 19 expected groups are among the first 40" in figure

    run("table3", "--mini", "--storage", str(storage))
    printed = capsys.readouterr().out
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


@pytest.mark.usefixtures("ray_cluster")
def test_experiments_are_listed_with_what_they_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(catalogue, "EXPERIMENTS", {"table3": catalogue.EXPERIMENTS["table3"]})
    make_smaller(monkeypatch)
    cli.app(["experiments", "--mini", "--cost", "--storage", str(tmp_path)], standalone_mode=False)
    printed = capsys.readouterr()
    assert "forecasting table3" in printed.err
    (row,) = (line for line in printed.out.splitlines() if line.startswith("table3"))
    *_, wall_time, gpu_hours = (cell.strip() for cell in row.split("│"))
    assert gpu_hours == "0.00", "no GPU here"
    assert re.fullmatch(r"[\d.]+ s|\d+ min \d\d s", wall_time), row
    assert wall_time != "0.0 s", "nothing of it is made yet"
