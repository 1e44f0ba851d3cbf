"""A whole small study with repeats, whose trials are scored by folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pretrieve.records import CellRecord, StudyRecord
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

pytestmark = pytest.mark.usefixtures("ray_cluster")

ROWS = ["finetune", "uot", "linear_probe", {"name": "warm", "selector": "random", "head_start": "from_probe"}]


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.begun: list[TrialEvent] = []
        self.notices: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.begun += [event] if event.state == "started" else []

    def noticed(self, message: str) -> None:
        self.notices.append(message)


@pytest.fixture
def settings(make_settings: Callable[..., StudySettings]) -> Callable[[int], StudySettings]:
    def make(draws: int, **changes: Any) -> StudySettings:
        fields: dict[str, Any] = {
            "targets": [{"registered": "tiny-a", "regime": {"images_per_class": 6}}],
            "methods": ROWS,
            "folds": 3,
            "repeats": {"draws": draws},
            "grid": {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5], "l2": [10.0, 1.0]},
        }
        return make_settings(**fields | changes)

    return make


def comparable(record: StudyRecord) -> list[CellRecord]:
    """The cells without run ids and times."""

    def bare(trial: Any) -> Any:
        return replace(trial, run_id="", seconds=0.0, attempts=())

    return [
        replace(
            cell,
            run_id=None,
            trials=tuple(map(bare, cell.trials)),
            refits=tuple(map(bare, cell.refits)),
        )
        for cell in record.cells
    ]


def test_two_repeats_and_then_three_are_three_at_once(settings: Callable[..., StudySettings], tmp_path: Any) -> None:
    first = run_study(settings(2), StudyObserver())
    for cell in first.cells:
        assert [refit.repeat for refit in cell.refits] == [0, 1]
        assert len({refit.seed for refit in cell.refits}) == 2
        assert {len(trial.curve) for trial in cell.trials} == {3}, "a trial reports each fold"
        assert len(cell.choices) == 2
    ear = Ear()
    more = run_study(settings(3), ear)
    num_new = sum(len([trial for trial in cell.trials if trial.repeat == 2]) + 1 for cell in more.cells)
    assert len(ear.begun) == num_new, "the repeats that are there are not run again"
    at_once = run_study(settings(3, name="at-once"), StudyObserver())
    assert comparable(more) == comparable(at_once)
