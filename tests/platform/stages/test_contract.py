"""A stage that somebody adds between two others, in one file: planned, run, found, shown and pruned like any other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pretrieve import stages
from pretrieve.cli.app import app
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.study import Study

pytestmark = pytest.mark.usefixtures("ray_cluster")

ADDED = '''
"""Stage: the mean of all features of the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pretrieve.artifacts.sealed_files import is_kept, read_sealed_arrays, write_sealed_arrays
from pretrieve.artifacts.keys import content_key
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.features import SOURCE, FeaturesStage


class MeanStage(Stage):
    name = "mean"
    place = 45

    def load(self, context):
        (path,) = self.artifacts(context)
        return read_sealed_arrays(path)["mean"] if is_kept(path) else None

    def make(self, context):
        features = context.get(FeaturesStage)
        features.extract([SOURCE])
        (path,) = self.artifacts(context)
        with context.clock.stage(self.name, total=1):
            blocks = list(features.request(SOURCE).blocks(features.folder))
            write_sealed_arrays(path, mean=np.concatenate([block.features for block in blocks]).mean(0))

    def num_pieces(self, context):
        return 1

    def artifacts(self, context):
        key = content_key(kind="mean", features=context.get(FeaturesStage).key(SOURCE))
        return [context.store.path("means", f"{key}.npz")]

    def estimate(self, context, measured):
        if context.find(MeanStage) is not None:
            return None
        return StageForecast(self.name, 0.5, "1 mean")
'''


FIELDS: dict[str, Any] = {
    "name": "tiny",
    "source": "tiny-source",
    "targets": ["tiny-a"],
    "recipe": "paper2022",
    "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
    "methods": ["finetune", "uot"],
    "selection": {"top_k": 2},
    "grid": {"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]},
    "training": {"epochs": 1, "batch_size": 8},
    "refit": {"num_seeds": 1},
}


class Ear(StudyObserver):
    """Keeps how many pieces of each stage were missing."""

    def __init__(self) -> None:
        self.missing: dict[str, int] = {}

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        self.missing[stage] = total - done


@pytest.fixture
def added_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put one file into the package of the stages."""
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / "mean_of_test.py").write_text(ADDED, encoding="utf-8")
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(tmp_path / "added")])
    yield
    module = sys.modules.pop("pretrieve.stages.mean_of_test")
    module.MeanStage.__module__ = "taken.away"


def run_command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 0


@pytest.mark.usefixtures("added_stage")
def test_a_stage_in_one_file_is_planned_run_found_shown_and_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "fresh"
    fields = {**FIELDS, "storage": str(storage)}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(fields), encoding="utf-8")
    study = Study(**fields)

    def shown() -> list[list[str]]:
        run_command("status", str(file))
        return [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["mean"]]

    forecast = study.plan(Ear())
    names = [stage.stage for stage in forecast.stages]
    assert names.index("features") < names.index("mean") < names.index("selection")
    assert next(stage.seconds for stage in forecast.stages if stage.stage == "mean") == 0.5

    first, second, third = Ear(), Ear(), Ear()
    assert study.run(first).stage_seconds["mean"] > 0
    assert first.missing["mean"] == 1
    study.run(second)
    assert second.missing["mean"] == 0
    assert shown() == [["mean", "1", "1"]]

    run_command("cache", "prune", "--storage", str(storage), "--unused-days", "0", "--kind", "means")
    capsys.readouterr()
    assert shown() == [["mean", "1", "0"]]
    study.run(third)
    assert third.missing["mean"] == 1
