"""Tune's own schedulers, one a cell, driven without a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from pretrieve.search.early_stopping import CellScheduler, EarlierTrial
from pretrieve.search.settings import SearchSettings
from pretrieve.search.tune_config import TRIAL
from pretrieve.search.tune_search import stopping_search

NUM_EPOCHS = 9
ASHA = {"strategy": "asha", "grace_epochs": 1}
MEDIAN = {"strategy": "median", "grace_epochs": 1, "min_trials": 2}


@dataclass(frozen=True)
class NamedTrial:
    """Stands for a Tune trial, which only a controller makes: the identity and the configuration that are read."""

    trial_id: str
    config: dict[str, Any] = field(compare=False)


def trial(key: str, target: str = "birds") -> NamedTrial:
    return NamedTrial(key, {TRIAL: json.dumps({"spec": {"target": target, "method": "uot", "key": key}})})


def scheduler_of(settings: dict[str, Any], **earlier: Any) -> CellScheduler:
    scheduler = stopping_search(SearchSettings(**settings), NUM_EPOCHS, **earlier).scheduler
    assert scheduler is not None
    return scheduler


def tell(scheduler: CellScheduler, told: NamedTrial, epoch: int, score: float) -> str:
    return scheduler.on_trial_result(None, told, {"epoch": float(epoch), "val/score": score, "cost/seconds": 1.5})


def begin(scheduler: CellScheduler, *trials: NamedTrial) -> None:
    for each in trials:
        scheduler.on_trial_add(None, each)


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_a_trial_behind_those_of_its_cell_is_stopped(settings: dict[str, Any]) -> None:
    scheduler = scheduler_of(settings)
    good, better, poor = trial("good"), trial("better"), trial("poor")
    begin(scheduler, good, better, poor)
    assert [tell(scheduler, good, 1, 0.8), tell(scheduler, better, 1, 0.9)] == ["CONTINUE", "CONTINUE"]
    assert tell(scheduler, poor, 1, 0.1) == "STOP"
    (stop,) = scheduler.stops.values()
    assert (stop.epoch, stop.num_epochs, stop.score, stop.seconds) == (1, NUM_EPOCHS, 0.1, 1.5)


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_another_cell_is_no_comparison(settings: dict[str, Any]) -> None:
    scheduler = scheduler_of(settings)
    others = [trial("good"), trial("better"), trial("best")]
    alone = trial("poor", target="cars")
    begin(scheduler, *others, alone)
    for number, other in enumerate(others):
        tell(scheduler, other, 1, 0.7 + number / 10)
    assert tell(scheduler, alone, 1, 0.1) == "CONTINUE"
    assert scheduler.stops == {}


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_no_trial_is_stopped_at_its_last_epoch(settings: dict[str, Any]) -> None:
    scheduler = scheduler_of(settings)
    trials = [trial("good"), trial("better"), trial("poor")]
    begin(scheduler, *trials)
    decisions = [tell(scheduler, each, NUM_EPOCHS, score) for each, score in zip(trials, (0.8, 0.9, 0.1), strict=True)]
    assert decisions == ["CONTINUE"] * 3
    assert scheduler.stops == {}


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_what_earlier_runs_told_counts_as_if_it_were_told_now(settings: dict[str, Any]) -> None:
    cell = ("birds", "uot")
    earlier = [
        EarlierTrial(cell, "good", [(epoch, 0.8) for epoch in range(1, NUM_EPOCHS + 1)]),
        EarlierTrial(cell, "better", [(1, 0.9)]),
    ]
    scheduler = scheduler_of(settings, earlier=earlier)
    begin(scheduler, poor := trial("poor"))
    assert tell(scheduler, poor, 1, 0.1) == "STOP"


def test_a_trial_that_goes_on_is_not_compared_with_itself() -> None:
    begun = [EarlierTrial(("birds", "uot"), "half-done", [(1, 0.9), (2, 0.9), (3, 0.9)])]
    scheduler = scheduler_of(ASHA, begun=begun)
    begin(scheduler, half_done := trial("half-done"))
    assert tell(scheduler, half_done, 4, 0.5) == "CONTINUE"


def test_a_trial_that_ended_before_its_first_epoch_disturbs_no_other() -> None:
    scheduler = scheduler_of(MEDIAN)
    begin(scheduler, broken := trial("broken"), good := trial("good"))
    scheduler.on_trial_complete(None, broken, {"done": True})
    assert tell(scheduler, good, 2, 0.5) == "CONTINUE"


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_no_trial_is_stopped_for_being_behind_one_that_diverged(settings: dict[str, Any]) -> None:
    scheduler = scheduler_of(settings)
    leader, second, third, late = trial("leader"), trial("second"), trial("third"), trial("late")
    begin(scheduler, leader, second, third, late)
    for epoch in (1, 2, 3):
        tell(scheduler, leader, epoch, 0.9)
    tell(scheduler, second, 1, 0.4)
    tell(scheduler, third, 1, 0.3)
    scheduler.on_trial_complete(None, leader, {"epoch": 3.0, "val/score": 0.9})
    assert tell(scheduler, late, 1, 0.5) == "CONTINUE", "it is the best of those that are left"
    assert tell(scheduler, second, 3, 0.4) == "CONTINUE", "it is the first of them to come so far"
    assert "leader" not in scheduler.stops


@pytest.mark.parametrize("settings", [ASHA, MEDIAN])
def test_a_trial_that_repeats_an_epoch_after_its_process_was_lost_is_not_judged_again(settings: dict[str, Any]) -> None:
    begun = [EarlierTrial(("birds", "uot"), "half-done", [(1, 0.2), (2, 0.2), (3, 0.2)])]
    earlier = [EarlierTrial(("birds", "uot"), name, [(epoch, 0.9) for epoch in range(1, 10)]) for name in ("a", "b")]
    scheduler = scheduler_of(settings, begun=begun, earlier=earlier)
    begin(scheduler, half_done := trial("half-done"))
    assert tell(scheduler, half_done, 3, 0.2) == "CONTINUE"
    assert tell(scheduler, half_done, NUM_EPOCHS - 1, 0.2) == ("STOP" if settings is MEDIAN else "CONTINUE")


def test_the_grid_stops_nothing() -> None:
    assert stopping_search(SearchSettings(), NUM_EPOCHS).scheduler is None
