"""Whole small studies whose trials are stopped early or proposed, on a real cluster and a real MLflow store."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pretrieve.records import StudyRecord
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.study_cells import StudyCells
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger, run_study
from pretrieve.tracking import schema

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]

POOR_RATE = 1e-7
"""At such a rate the network stays at its first guess, so that its trials fall behind."""

GRID = {"lr": [0.02, POOR_RATE], "weight_decay": [0.0, 1e-8, 1e-7], "source_weight": [0.5]}


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.trials: list[TrialEvent] = []
        self.notices: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.trials.append(event)

    def noticed(self, message: str) -> None:
        self.notices.append(message)

    def started(self, kind: str = "trial") -> list[TrialEvent]:
        return [event for event in self.trials if (event.kind, event.state) == (kind, "started")]


@pytest.fixture
def make_search(make_settings: MakeSettings) -> MakeSettings:
    """Make studies of one target whose trials have four epochs."""

    def make(**changes: Any) -> StudySettings:
        fields = {"targets": ["tiny-a"], "grid": GRID, "training": {"epochs": 4, "batch_size": 8}}
        return make_settings(**{**fields, "refit": {"num_seeds": 1}, **changes})

    return make


def trial_runs(settings: StudySettings) -> list[Any]:
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = 'trial'"))


def steps(settings: StudySettings, run: Any) -> list[int]:
    client = MlflowClient(settings.tracking())
    return [figure.step for figure in client.get_metric_history(run.info.run_id, schema.VAL_SCORE)]


def planned(settings: StudySettings, notices: list[str] | None = None) -> StudyCells:
    """Plan a study whose artifacts are in the cache, and run nothing."""
    ear = Ear()
    with walking(settings, ear) as context:
        inputs, clock = study_inputs(context), context.clock
    make_folder(settings.folder)
    ledger = open_ledger(settings)
    plan = StudyCells(settings, TrialMaker(settings, inputs, ledger.spool_path), ledger, clock)
    if notices is not None:
        notices += ear.notices
    return plan


def states(record: StudyRecord) -> Counter[str]:
    return Counter(trial.state for cell in record.cells for trial in cell.trials)


def test_stopped_trials_are_results_of_their_own_until_the_grid_is_searched_whole(make_search: MakeSettings) -> None:
    settings, ear = make_search(search="asha"), Ear()
    record = run_study(settings, ear)
    assert states(record).keys() == {"finished", "stopped"}
    assert sum(states(record).values()) == len(ear.started()) == 12
    stopped = [trial for cell in record.cells for trial in cell.trials if trial.state == "stopped"]
    assert all(trial.score is None and trial.seconds > 0 for trial in stopped)
    assert all(trial.hyperparameters["lr"] == POOR_RATE for trial in stopped)
    runs = {run.info.run_id: run for run in trial_runs(settings)}
    for trial in stopped:
        run = runs[trial.run_id]
        assert run.info.status == "FINISHED"
        assert trial.stopped_epoch is not None
        assert trial.stopped_epoch < 4
        assert steps(settings, run) == list(range(1, trial.stopped_epoch + 1)), "nothing is told after the stop"
        assert run.data.metrics[schema.VAL_SCORE] == trial.stopped_score
        assert f"stopped after epoch {trial.stopped_epoch} of 4" in trial.message
    for cell in record.cells:
        assert cell.best is not None
        assert cell.best["lr"] == 0.02
        assert cell.num_planned == 6
    assert list((settings.folder / "checkpoints").glob("*.pt")) == []
    assert "stop" in (settings.folder / "report.html").read_text(encoding="utf-8")
    study_cells = planned(settings)
    assert study_cells.missing(study_cells.cells) == []

    whole, more = make_search(), Ear()
    record = run_study(whole, more)
    assert states(record) == {"finished": 12}
    assert len(more.started()) == len(stopped)
    assert len(trial_runs(whole)) == 12
    assert all(steps(whole, run) == [1, 2, 3, 4] for run in trial_runs(whole)), "neither gaps nor doubles"


def test_where_all_that_reached_their_end_diverged_the_best_stopped_trial_is_trained_to_its_end(
    make_search: MakeSettings,
) -> None:
    settings = make_search(search="asha", methods=["finetune"])
    record = run_study(settings, Ear())
    (cell,) = record.cells
    client = MlflowClient(settings.tracking())
    for trial in cell.trials:
        if trial.state == "finished":
            client.set_tag(trial.run_id, schema.TAG_OUTCOME, "diverged")
    stopped = [trial for trial in cell.trials if trial.state == "stopped"]
    assert stopped

    ear = Ear()
    (cell,) = run_study(settings, ear).cells
    assert len(ear.started()) == 1
    assert sum("no trial reached its last epoch with a score" in notice for notice in ear.notices) == 1
    assert cell.best is not None
    assert cell.best["lr"] == POOR_RATE
    (trained,) = [trial for trial in cell.trials if trial.state == "finished"]
    leader = max(stopped, key=lambda trial: trial.stopped_score or 0.0)
    assert (trained.run_id, trained.stopped_epoch) == (leader.run_id, None)
    (run,) = [run for run in trial_runs(settings) if run.info.run_id == trained.run_id]
    assert steps(settings, run) == [1, 2, 3, 4], "neither gaps nor doubles"


def test_proposed_trials_begin_at_the_corners_and_none_is_run_twice(make_search: MakeSettings) -> None:
    search = {"strategy": "optuna", "num_trials": 5}
    grid = {"lr": [0.02, 0.01, 0.005], "weight_decay": [0.0, 1e-4], "source_weight": [1.0, 0.1]}
    settings, ear = make_search(search=search, grid=grid), Ear()
    record = run_study(settings, ear)
    assert [cell.num_planned for cell in record.cells] == [len(cell.trials) for cell in record.cells] == [5, 5]
    finetune, uot = record.cells
    first = [(t.hyperparameters["lr"], t.hyperparameters["source_weight"]) for t in uot.trials[:4]]
    assert first == [(0.02, 1.0), (0.02, 0.1), (0.005, 1.0), (0.005, 0.1)]
    assert [t.hyperparameters["lr"] for t in finetune.trials[:2]] == [0.02, 0.005]
    assert all(0.005 <= t.hyperparameters["lr"] <= 0.02 for cell in record.cells for t in cell.trials)
    assert [event.method for event in ear.started()[:4]] == ["finetune", "uot", "finetune", "uot"]
    keys = [trial.key for cell in record.cells for trial in cell.trials]
    assert len(set(keys)) == 10
    plan = json.loads((settings.folder / "plan.json").read_text(encoding="utf-8"))
    assert [key for cell in plan["cells"] for key in cell["trial_keys"]] == keys

    study_cells = planned(settings)
    assert [cell.num_unknown for cell in study_cells.cells] == [0, 0]
    assert study_cells.missing(study_cells.cells) == []

    grown, more = make_search(search=search | {"num_trials": 7}, grid=grid), Ear()
    record = run_study(grown, more)
    assert len(more.started()) == 4
    assert [len(cell.trials) for cell in record.cells] == [7, 7]


TUNE_OBJECTS = """
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch

scheduler = AsyncHyperBandScheduler(max_t=4, reduction_factor=3)
searcher = OptunaSearch(seed=0)
"""


@pytest.fixture
def tune_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module with objects of Ray Tune."""
    (tmp_path / "objects_of_tune.py").write_text(TUNE_OBJECTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "objects_of_tune"
    sys.modules.pop("objects_of_tune", None)


def test_a_scheduler_of_tune_stops_the_trials_of_a_study(make_search: MakeSettings, tune_objects: str) -> None:
    settings, ear = make_search(search=f"{tune_objects}:scheduler"), Ear()
    record = run_study(settings, ear)
    assert len(ear.started()) == 12
    trials = [trial for cell in record.cells for trial in cell.trials]
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert {trial.state for trial in trials} == {"finished", "stopped"}
    assert all(trial.hyperparameters["lr"] == POOR_RATE for trial in stopped)
    assert all(cell.best is not None and cell.best["lr"] == 0.02 for cell in record.cells)
    study_cells = planned(settings)
    assert study_cells.missing(study_cells.cells) == [], "a stopped trial is done for this strategy too"


def test_a_searcher_of_tune_proposes_the_points_of_a_study_and_goes_on_where_it_was(
    make_search: MakeSettings, tune_objects: str
) -> None:
    search = {"strategy": f"{tune_objects}:searcher", "num_trials": 3}
    grid = {"lr": [0.02, 0.01, 0.005], "weight_decay": [0.0, 1e-4], "source_weight": [1.0, 0.1]}
    ear = Ear()
    record = run_study(make_search(search=search, grid=grid), ear)
    assert [len(cell.trials) for cell in record.cells] == [3, 3]
    assert len(ear.started()) == 6
    assert states(record) == {"finished": 6}, "a searcher stops nothing"
    for trial in (trial for cell in record.cells for trial in cell.trials):
        assert 0.005 <= trial.hyperparameters["lr"] <= 0.02
        assert trial.hyperparameters["weight_decay"] in (0.0, 1e-4)

    more = Ear()
    record = run_study(make_search(search=search | {"num_trials": 5}, grid=grid), more)
    assert [len(cell.trials) for cell in record.cells] == [5, 5]
    assert len(more.started()) == 4, "no trial is run twice"
    assert len({trial.key for cell in record.cells for trial in cell.trials}) == 10


def test_the_head_ratio_is_settled_with_finetune_and_then_fixed(make_search: MakeSettings) -> None:
    grid = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5], "head_lr_ratio": [10.0, 1.0]}
    settings, ear = make_search(grid=grid, targets=["tiny-a", "tiny-b"]), Ear()
    record = run_study(settings, ear)
    for target in ("tiny-a", "tiny-b"):
        finetune, uot = record.cell(target, "finetune"), record.cell(target, "uot")
        assert [trial.hyperparameters["head_lr_ratio"] for trial in finetune.trials] == [10.0, 1.0]
        assert finetune.best is not None
        assert [trial.hyperparameters["head_lr_ratio"] for trial in uot.trials] == [finetune.best["head_lr_ratio"]]
    assert [event.method for event in ear.started()] == ["finetune"] * 4 + ["uot"] * 2
    assert ear.notices == [] or not any("head_lr_ratio" in notice for notice in ear.notices)

    study_cells = planned(settings)
    assert [cell.num_unknown for cell in study_cells.cells] == [0, 0, 0, 0], "what was settled is known from the start"
    assert study_cells.missing(study_cells.cells) == []
    study_cells = planned(make_search(grid=grid | {"settle_head_lr_ratio": False}, targets=["tiny-a", "tiny-b"]))
    assert [len(cell.trials) for cell in study_cells.cells] == [2, 2, 2, 2]
    assert len(study_cells.missing(study_cells.cells)) == 2


def test_without_finetune_every_method_searches_all_ratios_and_a_notice_says_so(make_search: MakeSettings) -> None:
    grid = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5], "head_lr_ratio": [10.0, 1.0]}
    notices: list[str] = []
    (cell,) = planned(make_search(grid=grid, methods=["uot"]), notices).cells
    assert len(cell.trials) == 2
    assert sum("every method searches all 2 values of grid.head_lr_ratio" in notice for notice in notices) == 1
