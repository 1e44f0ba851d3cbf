"""Experiments run whole, on small studies and in miniature: point by point, resumed, shared, and with failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from pretrieve.errors import TrialsFailedError
from pretrieve.paper import catalogue
from pretrieve.paper.experiment import Experiment, Results, SelectionPoint, Series, StudyPoint
from pretrieve.paper.run_experiment import reproduce
from pretrieve.records import StudyRecord
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.study import Study
from pretrieve_dashboards.paper_comparison import Comparison, series_values
from pretrieve_dashboards.paper_report import Findings


class Counting(StudyObserver):
    """Counts the trials and refits that start."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        if event.state == "started":
            self.started.append(event.kind)


def find(results: Results) -> Findings:
    values = series_values(results.records)
    rows = tuple(dict.fromkeys(row for row, _ in values))
    return Findings((Comparison("score", "row", rows, tuple(results.records), values),))


@pytest.fixture
def studies(tiny_fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the tiny study in the place of the experiments' study files."""
    folder = tmp_path / "studies"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "STUDY_FOLDERS", (folder,))
    tiny_fields["targets"] = ["tiny-a"]
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_fields), encoding="utf-8")
    return folder


def experiment(*points: StudyPoint, selections: tuple[SelectionPoint, ...] = ()) -> Experiment:
    series = Series(points, selections, ("tiny images",))
    return Experiment("tiny", "Table 0", "Does it run?", series, series, find)


TWO = experiment(
    StudyPoint("first", "tiny.yaml", ("selection.top_k=2",)),
    StudyPoint("second", "tiny.yaml", ("selection.top_k=3",)),
)


@pytest.mark.slow
@pytest.mark.usefixtures("studies", "ray_cluster")
def test_a_series_is_run_point_by_point_and_what_points_share_once(tmp_path: Path) -> None:
    storage, observer, seen = tmp_path / "runs", Counting(), []

    def record(label: str, number: int, total: int) -> None:
        report = (storage / "tiny" / "report.html").read_text(encoding="utf-8")
        seen.append((label, number, total, len(observer.started), "not run yet" in report))

    made = reproduce(TWO, observer=observer, on_point=record)
    # A point has 2 of finetune and 2 of uot, and two refits of each: finetune is the first point's.
    assert seen == [("first", 1, 2, 0, True), ("second", 2, 2, 8, True)]
    assert len(observer.started) == 12
    assert made.report_path == storage / "tiny" / "report.html"
    assert made.failures == ()
    assert not made.view.missing
    assert sorted(path.name for path in (storage / "tiny" / "studies").iterdir()) == ["first.html", "second.html"]
    (table,) = made.view.findings.comparisons
    assert table.columns == ("first", "second")
    assert table.values["tiny-a · finetune", "first"] == table.values["tiny-a · finetune", "second"]
    client = MlflowClient(tracking_uri=made.view.stores["tiny"])
    for value in table.values.values():
        scores = [client.get_run(run_id).data.metrics["test/score"] for run_id in value.run_ids]
        assert value.mean == pytest.approx(fmean(scores))
        assert len(scores) == 2

    again = Counting()
    repeated = reproduce(TWO, observer=again)
    assert again.started == []
    assert repeated.view.findings.comparisons == made.view.findings.comparisons


@pytest.mark.usefixtures("studies")
def test_a_point_whose_trials_fail_is_reported_and_the_others_are_run(
    make_record: Callable[..., StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The studies are stand-ins here: what a study does with a failed trial is tested where studies are."""

    def run(study: Study, observer: StudyObserver | None = None) -> StudyRecord:
        if study.settings.selection.top_k == 2:
            raise TrialsFailedError("1 trial has no result")
        return make_record({("tiny-a", "uot"): (0.5, 0.6)})

    monkeypatch.setattr(Study, "run", run)
    monkeypatch.setattr(Study, "record", lambda study: make_record({("tiny-a", "uot"): None}))
    made = reproduce(TWO, observer=Counting())
    first, second = made.failures
    assert first == "first: 1 trial has no result"
    # The stand-ins' run is in no store: what MLflow does not take is a failure, and the report is there all the same.
    assert second.startswith(f"MLflow did not take {made.report_path}: ")
    report = made.report_path.read_text(encoding="utf-8")
    assert "first: 1 trial has no result" in report
    assert "first · tiny-a · uot: no trial with a score to choose from, not tested yet" in report
    (table,) = made.view.findings.comparisons
    assert table.cell_text("tiny-a · uot", "second") == "55.00 ± 2.00"


@pytest.mark.slow
@pytest.mark.usefixtures("studies", "ray_cluster")
def test_a_selection_problem_is_that_of_the_study_with_its_expected_groups() -> None:
    seen: list[Results] = []

    def keep(results: Results) -> Findings:
        seen.append(results)
        return Findings(())

    words = ("selection.expected_groups={tiny-a: [2, tiny-source class 4]}", "selection.top_k=3")
    points = (SelectionPoint("network", "tiny.yaml", "tiny-a", overrides=words),)
    series = Series(selections=points)
    made = reproduce(Experiment("tiny", "Figure 0", "Does it run?", series, series, keep), observer=Counting())
    problem = seen[-1].problems["network"]
    assert problem.source.means.shape[0] == 6
    assert problem.target.means.shape[0] == 3
    assert (problem.expected, problem.settings.top_k) == ((2, 4), 3)
    assert made.report_path.exists()
