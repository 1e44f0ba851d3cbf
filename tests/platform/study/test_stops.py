"""A study that stops after a stage, and the run that finds what it left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrieve.records import StudyRecord
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.study import Study

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]


class Ear(StudyObserver):
    """Keeps what it hears: each stage with the pieces that were missing, refits and trials, notices."""

    def __init__(self) -> None:
        self.missing: dict[str, int] = {}
        self.finished: list[str] = []
        self.notices: list[str] = []

    def stage_started(self, stage: Any, total: int, done: int = 0) -> None:
        self.missing[stage] = total - done

    def trial_event(self, event: TrialEvent) -> None:
        if event.state == "finished":
            self.finished.append(event.kind)

    def noticed(self, message: str) -> None:
        self.notices.append(message)


@pytest.fixture
def fresh(make_settings: MakeSettings, tmp_path: Path) -> MakeSettings:
    """Build settings of one small cell pair whose cache no other test has filled."""

    def make(**changes: Any) -> StudySettings:
        return make_settings(targets=["tiny-a"], storage=str(tmp_path / "fresh"), **changes)

    return make


def test_features_then_selections_then_the_run_each_find_what_was_there(fresh: MakeSettings) -> None:
    study = Study.from_settings(fresh(grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]}))
    first, again, chosen, run = Ear(), Ear(), Ear(), Ear()
    study.extract_features(first)
    assert first.missing["features"] > 0
    assert set(first.missing) == {"image sets", "backbone", "features"}
    assert not (study.settings.folder / "mlflow.db").exists()

    study.extract_features(again)
    assert again.missing["features"] == again.missing["backbone"] == 0

    paths = study.make_selections(chosen)
    assert [path.relative_to(study.settings.folder) for path in paths] == [Path("selections/tiny-a/uot.json")]
    assert len(json.loads(paths[0].read_text(encoding="utf-8"))["groups"]) == 2
    assert (chosen.missing["features"], chosen.missing["selection"]) == (0, 1)
    assert "image cache" not in chosen.missing

    record = study.run(run)
    assert "features" not in run.missing, "what its selections are made from need not even be looked at"
    assert run.finished.count("trial") == 2
    assert isinstance(record, StudyRecord)
    assert record.is_finished


def test_a_study_that_reuses_nothing_says_that_it_needs_no_features(fresh: MakeSettings) -> None:
    ear = Ear()
    Study.from_settings(fresh(methods=["finetune"])).extract_features(ear)
    assert "features" not in ear.missing
    assert ear.notices == ["no method of this study reuses the source, so it needs no features"]


def test_a_refit_of_an_unfinished_search_takes_the_best_so_far_and_says_what_is_missing(fresh: MakeSettings) -> None:
    grid = {"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]}
    small = Study.from_settings(fresh(grid=grid, methods=["finetune"], refit={"num_seeds": 1}))
    small.run(Ear())
    whole = fresh(grid={**grid, "lr": [0.02, 0.01]}, refit={"num_seeds": 2})
    ear = Ear()
    record = Study.from_settings(whole).refit(ear)
    assert ear.finished == ["refit"], "the first seed is there, and no trial is run"
    assert ear.notices == [
        "tiny-a · finetune: 1 of 2 trials have a result; the best of these is refitted",
        "tiny-a · uot: 0 of 2 trials have a result; so there is nothing to refit",
    ]
    assert not record.is_finished
    assert record.models == {"tiny-a": "models:/tiny.tiny-a@champion"}

    rest = Ear()
    assert Study.from_settings(whole).run(rest).is_finished
    assert rest.finished.count("trial") == 3
