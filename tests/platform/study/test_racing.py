"""Whole small studies whose trials race, fold by fold, on a real cluster and a real MLflow store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from mlflow import MlflowClient

from pretrieve.errors import UserError
from pretrieve.records import CellRecord, StudyRecord
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.study import Study
from pretrieve.study.walk import run_study
from pretrieve.tracking import schema
from pretrieve.tracking.registered_model import fetch_model
from pretrieve_dashboards import render_report
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.mlflow_notes import escaped

pytestmark = pytest.mark.usefixtures("ray_cluster")

POOR_RATE = 1e-7
"""At such a rate the network stays at its first guess, so that its trials fall behind."""


REGIME = [{"registered": "tiny-a", "regime": {"images_per_class": 6}}]


class Killed(BaseException):
    """Stands for what ends a driver."""


class Ear(StudyObserver):
    """Counts the events of trials; ends the driver when a number of folds have been done."""

    def __init__(self, num_folds: int | None = None) -> None:
        self.states: Counter[str] = Counter()
        self.stages: set[str] = set()
        self._num_folds = num_folds

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        self.stages.add(stage)

    def trial_event(self, event: TrialEvent) -> None:
        self.states[event.state] += event.kind == "trial"
        if self.states["waiting"] == self._num_folds:
            raise Killed


@pytest.fixture
def settings(make_settings: Callable[..., StudySettings]) -> Callable[..., StudySettings]:
    def make(name: str, **changes: Any) -> StudySettings:
        fields: dict[str, Any] = {
            "name": name,
            "targets": ["tiny-a"],
            "methods": ["finetune", "linear_probe", "class_means"],
            "folds": 3,
            "search": {"strategy": "race", "level": 0.3},
            "training": {"epochs": 4, "batch_size": 8},
            "grid": {"lr": [0.02, POOR_RATE], "weight_decay": [0.0, 1e-4], "l2": [1e5, 1.0]},
            "refit": {"num_seeds": 1},
        }
        return make_settings(**fields | changes)

    return make


def check_all_cpus_are_free() -> None:
    """Tune's processes end with the run that was killed; the next run would wait for theirs for ever."""
    end_s = time.monotonic() + 30
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < end_s, "processes of the killed run are left"
        time.sleep(0.2)


def states(record: StudyRecord) -> Counter[str]:
    return Counter(trial.state for cell in record.cells for trial in cell.trials)


def comparable(record: StudyRecord) -> list[CellRecord]:
    """The cells without run ids and times."""

    def bare(trial: Any) -> Any:
        return replace(trial, run_id="", seconds=0.0, attempts=(), predictions="")

    return [
        replace(cell, run_id=None, trials=tuple(map(bare, cell.trials)), refits=tuple(map(bare, cell.refits)))
        for cell in record.cells
    ]


def test_trials_that_are_behind_drop_out_and_the_table_is_the_same_after_a_kill(
    settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    ear = Ear()
    record = run_study(settings("alone"), ear)
    assert states(record).keys() == {"finished", "stopped"}
    for cell in record.cells:
        assert cell.best is not None
        assert cell.refits[0].score is not None
        for trial in cell.trials:
            num_folds = trial.stopped_epoch or 3
            assert [fold for fold, _ in trial.curve] == list(range(1, num_folds + 1)), "neither gaps nor doubles"
            assert trial.seconds > 0
            if trial.state == "stopped":
                assert f"stopped after fold {num_folds} of 3" in trial.message
    (means,) = [cell for cell in record.cells if cell.method == "class_means"]
    assert means.num_in_state("finished") == 1, "a cell of one configuration races nothing"
    finetune = record.cell("tiny-a", "finetune")
    assert finetune.best is not None
    assert finetune.best["lr"] == 0.02
    assert finetune.num_in_state("stopped") >= 2
    assert not list((tmp_path / "runs" / "alone" / "checkpoints").iterdir())
    check_models(settings("alone"), record)

    killed = settings("killed")
    with pytest.raises(Killed):
        run_study(killed, Ear(num_folds=3))
    check_all_cpus_are_free()
    again = Ear()
    assert comparable(run_study(killed, again)) == comparable(record)

    whole = Ear()
    gridded = run_study(settings("alone", search="grid"), whole)
    assert states(gridded) == {"finished": 7}
    assert whole.states["started"] == states(record)["stopped"]
    best = {cell.method: cell.best for cell in gridded.cells}
    assert best["finetune"] == finetune.best


def check_models(settings: StudySettings, record: StudyRecord) -> None:
    """The champion is the simplest row that is about as good as the best; any other cell's model can be registered."""
    found = record.model_refit("tiny-a")
    assert found is not None
    cell, refit = found
    assert (cell.method, refit.score) == ("class_means", 1.0), "all rows are right about every image"
    study = Study.from_settings(settings)
    uri = study.register("tiny-a", "finetune")
    assert uri == "models:/alone.tiny-a.finetune@model"
    version = MlflowClient(settings.tracking()).get_model_version_by_alias("alone.tiny-a.finetune", "model")
    (own,) = record.cell("tiny-a", "finetune").refits
    assert (version.run_id, version.tags[schema.TAG_KEY]) == (own.run_id, own.key)
    assert study.register("tiny-a", "finetune") == uri, "it is registered once"
    check_files(settings, "models:/alone.tiny-a.finetune@model", "finetune")
    check_files(settings, record.models["tiny-a"], "class_means")
    with pytest.raises(DashboardError, match=r"a cell must be one of the study's, tiny-a · finetune.*tiny-a · uott"):
        study.register("tiny-a", "uott")
    (settings.folder / "refits" / f"{own.key}.pt").unlink()
    with pytest.raises(UserError, match=r"weights and predictions of a refit must be there.*run the study again"):
        study.register("tiny-a", "finetune")


def check_files(settings: StudySettings, uri: str, method: str) -> None:
    """A model has the temperature of the folds of what was chosen, and a card that says where it comes from."""
    model = fetch_model(uri, settings.tracking())
    chosen = Study.from_settings(settings).record(with_trials=False).cell("tiny-a", method).temperature(0)
    assert chosen is not None
    assert 0 < chosen < 1.01, "all held-out images are right, so the network is sure enough, or may be surer"
    assert model.card["temperature"] == chosen
    card = (model.folder / "model_card.md").read_text(encoding="utf-8")
    assert f"- row: {escaped(method)}\n" in card
    assert "| tiny-a class 0 | 6 | 100.0 |" in card


def test_later_repeats_take_the_choice_of_the_first(settings: Callable[..., StudySettings]) -> None:
    fields = {"methods": ["linear_probe", "class_means"], "folds": 2, "repeats": {"draws": 3}}
    contrasts = [["linear_probe", "class_means"]]
    chosen = settings("once", **fields, targets=REGIME, refit={}, contrasts=contrasts, choose="first_repeat")
    forecast = forecast_study(chosen, StudyObserver())
    assert [(cell.num_trials, cell.num_refits) for cell in forecast.cells] == [(2, 3), (1, 3)]
    record = run_study(chosen, StudyObserver())
    assert forecast_study(chosen, StudyObserver()).num_missing == 0
    for cell in record.cells:
        assert {trial.repeat for trial in cell.trials} == {0}
        assert [refit.repeat for refit in cell.refits] == [0, 1, 2]
        assert len({tuple(choice.hyperparameters.items()) for choice in cell.choices}) == 1
        assert len(cell.choices) == 3
    assert record.verdict is not None
    assert record.verdict.contrasts[0].sentence.endswith("the interval does not cover the choice.")
    assert "the interval does not cover the choice" in render_report(replace(record, verdict=None))
    check_label_curves(chosen, record)


def check_label_curves(settings: StudySettings, record: StudyRecord) -> None:
    """The last score is that of the table, the others are the probe's with fewer labels; found, they stay."""
    (curve,) = record.label_curves
    (probe,) = [cell for cell in record.cells if cell.method == "linear_probe"]
    assert (curve.target, curve.num_repeats) == ("tiny-a", 3)
    assert curve.num_images == (3, 9, 18), "of three classes of six images each"
    assert curve.scores[-1] == pytest.approx(probe.test_mean)
    assert curve.last_gain == pytest.approx(curve.scores[-1] - curve.scores[-2])
    assert all(0 <= score <= 1 for score in curve.scores)
    kept = set((settings.cache / "label_curves").iterdir())
    assert len(kept) >= 3, "other tests share the cache"
    ear = Ear()
    assert run_study(settings, ear).label_curves == record.label_curves
    assert "label curves" not in ear.stages
    assert set((settings.cache / "label_curves").iterdir()) == kept
    without = settings.model_copy(update={"methods": settings.methods[1:], "contrasts": ()})
    assert run_study(without, Ear()).label_curves == (), "those on record are of an earlier plan"


def test_a_race_without_folds_trains_the_whole_grid(settings: Callable[..., StudySettings]) -> None:
    assert settings("plain", folds="official").search.races
    record = run_study(settings("plain", folds="official", methods=["linear_probe"]), StudyObserver())
    assert states(record) == {"finished": 2}
