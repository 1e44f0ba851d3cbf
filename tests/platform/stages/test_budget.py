"""A study's budget: when it is used up, what is set aside, and that a study stops in good order and goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pretrieve.errors import BudgetUsedUpError, ResourceError
from pretrieve.execution.compute import TrialResources
from pretrieve.stages.budget import BudgetKeeper, BudgetSettings, Refits
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.tracking import schema
from pretrieve.tracking.trial_state import TrialState
from pretrieve_dashboards import load_study

MakeSettings = Callable[..., StudySettings]


def finished(*seconds: float) -> dict[str, TrialState]:
    return {f"key{n}": TrialState(f"key{n}", "finished", 0.5, each) for n, each in enumerate(seconds)}


def keeper(folder: Path, **limits: float) -> BudgetKeeper:
    return BudgetKeeper(BudgetSettings(**limits), folder, folder / "cache")


def test_without_a_limit_nothing_is_ever_used_up(tmp_path: Path) -> None:
    assert keeper(tmp_path).used_up(finished(1e9)) is None


def test_gpu_hours_count_the_share_of_a_gpu_and_set_the_refits_aside(tmp_path: Path) -> None:
    kept = keeper(tmp_path, max_gpu_hours=2.0)
    kept.gpus_per_trial = 0.5
    assert kept.used_up(finished(3600, 3600)) is None, "two trials of an hour at half a GPU are one GPU-hour"
    kept.refits = Refits(num_missing=2, longer_by=1.25)
    assert kept.used_up(finished(3600, 3600)) == (
        "budget.max_gpu_hours is 2, with 1 used and 1.25 set aside for the refits"
    )
    kept.refits = Refits()
    assert kept.used_up(finished(3600, 3600)) is None, "the refits may use what was set aside"
    assert kept.reached is not None, "but it is remembered why the search ended"


def test_each_worker_of_a_trial_has_its_gpus(tmp_path: Path) -> None:
    kept = keeper(tmp_path, max_gpu_hours=2.0)
    kept.runs_on(TrialResources(cpus=1, gpus=1.0, num_workers=2, num_shares=4))
    assert (kept.gpus_per_trial, kept.num_concurrent) == (2.0, 2)
    assert kept.used_up(finished(3000)) is None
    assert kept.used_up(finished(3700)) is not None


def test_trials_that_run_count_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keeper(tmp_path, max_gpu_hours=1.0)
    kept.gpus_per_trial = 1.0
    now = time.monotonic()
    kept.started("a")
    monkeypatch.setattr(time, "monotonic", lambda: now + 4000)
    assert kept.used_up({}) is not None
    kept.reached = None
    kept.ended("a")
    assert kept.used_up({}) is None
    kept.started("b")
    monkeypatch.setattr(time, "monotonic", lambda: now + 8000)
    kept.ended("b", waits=True)
    assert kept.used_up({}) is not None, "what waits for the next round of a race has cost what it has"
    assert kept.used_up({"b": TrialState("b", "finished", seconds=1.0)}) is None, "its result says what it took"


def test_wall_hours_count_earlier_runs(tmp_path: Path) -> None:
    kept = BudgetKeeper(BudgetSettings(max_wall_hours=1.0), tmp_path, tmp_path / "cache", earlier_s=3000.0)
    assert kept.used_up({}) is None
    kept.earlier_s = 3700.0
    assert kept.used_up({}) == "budget.max_wall_hours is 1, with 1.03 used"


def test_the_disk_of_study_and_caches_counts(tmp_path: Path) -> None:
    (tmp_path / "refits").mkdir()
    (tmp_path / "refits" / "a.pt").write_bytes(b"\1" * 3_000_000)
    assert keeper(tmp_path, max_disk_gb=0.004).used_up({}) is None
    assert "budget.max_disk_gb is 0.002" in str(keeper(tmp_path, max_disk_gb=0.002).used_up({}))


def test_room_for_the_weights_of_the_refits_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "refits").mkdir()
    (tmp_path / "refits" / "a.pt").write_bytes(b"\1" * 3_000_000)
    kept = keeper(tmp_path, max_disk_gb=0.01)
    kept.refits = Refits(num_missing=4, bytes_each=2_000_000)
    assert "0.008 set aside for the refits" in str(kept.used_up({}))
    kept.refits = Refits()
    assert kept.used_up({}) is None, "the refits may use what was set aside"


def test_what_refits_take_is_told_by_trials_that_went_to_their_ends() -> None:
    stopped = {"early": TrialState("early", "stopped", None, 1.0)}
    assert Refits(num_missing=2).seconds(finished(10.0, 20.0) | stopped) == 30.0
    assert Refits(num_missing=2).seconds(stopped) == 2.0


def test_batch_norm_of_several_gpus_is_refused_on_a_cluster_without_any(
    make_settings: MakeSettings, ray_cluster: None
) -> None:
    settings = make_settings(
        training={"epochs": 1, "batch_size": 8, "synchronised_batch_norm": True},
        compute={"workers_per_trial": 2},
        seed=78,
    )
    with pytest.raises(ResourceError, match=r"training\.synchronised_batch_norm needs trials that have GPUs"):
        run_study(settings, StudyObserver())


class Ear(StudyObserver):
    """Hears what is started and noticed."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.notices: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        if event.state == "started":
            self.started.append(event.kind)

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def run_statuses(settings: StudySettings) -> list[tuple[str, str]]:
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return [(run.data.tags[schema.TAG_KIND], run.info.status) for run in runs]


def test_a_study_stops_at_its_budget_refits_the_best_so_far_and_goes_on_with_a_larger_one(
    make_settings: MakeSettings, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"lr": [0.02, 0.01, 0.005, 0.002], "weight_decay": [0.0], "source_weight": [1.0]}
    training = {"epochs": 30, "batch_size": 8}  # so that the last trials are not over when the first one is
    fields = {
        "grid": grid,
        "training": training,
        "targets": ["tiny-a"],
        "methods": ["finetune"],
        "refit": {"num_seeds": 1},
    }
    limited = make_settings(**fields, budget={"max_wall_hours": 10.0})
    real = BudgetKeeper._limit_reached

    def reached(self: BudgetKeeper, done: dict[str, TrialState]) -> str | None:
        # Seconds of these trials tell nothing: the limit is reached when the first has a result.
        if self.refits.num_missing and done:
            return "budget.max_wall_hours is 10, with 9 used and 1 set aside for the refits"
        return real(self, done)

    monkeypatch.setattr(BudgetKeeper, "_limit_reached", reached)
    ear = Ear()
    with pytest.raises(BudgetUsedUpError, match=r"10, with 9 used .* 1 of 1 cells have a best configuration"):
        run_study(limited, ear)
    record = load_study(limited.tracking(), limited.name)
    (cell,) = record.cells
    num_done = cell.num_in_state("finished")
    assert 1 <= num_done < 4
    assert len(cell.refits) == 1, "the best so far is refitted"
    assert cell.test_mean is not None
    assert any("no further trial is trained" in notice for notice in ear.notices)
    assert "RUNNING" not in {status for kind, status in run_statuses(limited)}, run_statuses(limited)
    assert (limited.folder / "report.html").exists()

    monkeypatch.setattr(BudgetKeeper, "_limit_reached", real)
    more = Ear()
    whole = run_study(make_settings(**fields, budget={"max_wall_hours": 20.0}), more)
    assert whole.is_finished
    assert more.started.count("trial") == 4 - num_done, "what was finished is kept"
    assert {status for kind, status in run_statuses(limited)} == {"FINISHED"}


def test_gpu_hours_on_a_cluster_without_gpus_are_refused_before_anything_runs(
    make_settings: MakeSettings, ray_cluster: None
) -> None:
    settings = make_settings(budget={"max_gpu_hours": 1.0}, seed=77)
    with pytest.raises(ResourceError, match=r"budget\.max_gpu_hours needs trials that have GPUs"):
        run_study(settings, StudyObserver())


@pytest.mark.parametrize("field", ["max_gpu_hours", "max_wall_hours", "max_disk_gb"])
def test_a_budget_of_nothing_is_refused(make_settings: MakeSettings, field: str) -> None:
    with pytest.raises(ValueError, match=rf"budget\.{field} = 0: must be greater than 0"):
        make_settings(budget={field: 0})
