"""What is told of a study before it runs, while it is unfinished and afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pretrieve.cli.app import main
from pretrieve.execution.measuring.speed import SpeedBook
from pretrieve.records.forecast import CellForecast, Forecast, StageForecast
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

MakeSettings = Callable[..., StudySettings]
GRID = {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [1.0, 0.5]}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment: these tests ask what is told, and a benchmark how true it is."""
    monkeypatch.setattr(SpeedBook.__init__, "__defaults__", (0.5,))


def test_a_forecast_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    cell = CellForecast("t", "uot", 6, 2, 3, 0, image_passes=900, trial_s=10.0, refit_s=20.0)
    stages = (StageForecast("clusters", None, "2,000 clusters"), StageForecast("trials", 25.0, "4 trials"))
    made = Forecast("s", (cell,), stages, 2, 1, 0.5, 10, 20, 5.0, False, False, ("a note",), {"trials": 3.0})
    assert cell.missing_s == 4 * 10 + 3 * 20
    assert (made.wall_s, made.num_missing) == (25.0, 7)
    assert made.gpu_hours == pytest.approx(0.5 * 100 / 3600)
    path = made.write(tmp_path)
    assert Forecast.read(tmp_path) == made
    assert json.loads(path.read_text())["gpu_hours"] == made.gpu_hours
    assert made.took({"trials": 33.0, "image_cache": 2.0}) == {"trials": 30.0, "image cache": 2.0}
    assert Forecast.read(tmp_path / "none") is None


def test_a_study_is_forecast_before_it_runs_and_compared_afterwards(
    make_settings: MakeSettings, ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"grid": GRID, "seed": 31, "refit": {"num_seeds": 2}}
    settings, book = make_settings(**fields), SpeedBook()
    pretrained = settings.cache / "backbones" / "pretrained"  # which other studies share
    known = set(pretrained.glob("*.json"))
    before = forecast_study(settings, StudyObserver(), book)
    assert [(c.target, c.method, c.num_trials, c.num_done) for c in before.cells] == [
        ("tiny-a", "finetune", 2, 0),
        ("tiny-a", "uot", 4, 0),
        ("tiny-b", "finetune", 2, 0),
        ("tiny-b", "uot", 4, 0),
    ]
    assert before.num_missing == 12 + 8
    told = [stage.stage for stage in before.stages]
    assert told == ["backbone", "features", "selection", "image cache", "trials", "refits", "models", "report"]
    assert all(stage.seconds is not None for stage in before.stages)
    assert before.wall_s > 0
    assert before.num_concurrent == 2
    assert not before.is_prepared
    assert set(pretrained.glob("*.json")) == known, "nothing of the study was computed"

    run_study(settings, StudyObserver())
    after = forecast_study(settings, StudyObserver(), book)
    assert (after.num_missing, after.stages, after.is_prepared) == (0, (), True)
    kept = Forecast.read(settings.folder)
    assert kept == before, "what was told before stays, to be compared"
    took = kept.took(after.stage_seconds_before)
    assert {"backbone", "trials", "refits", "report"} <= took.keys()

    more = make_settings(**{**fields, "grid": {**GRID, "lr": [0.02, 0.01, 0.005]}})
    grown = forecast_study(more, StudyObserver(), book)
    assert [(c.num_trials, c.num_done, c.num_refits_done) for c in grown.cells] == [(3, 2, 0), (6, 4, 0)] * 2
    assert "backbone" not in {stage.stage for stage in grown.stages}, "what is in the cache is not made again"


def test_the_command_prints_the_forecast_and_the_budget_beside_it(
    make_settings: MakeSettings, ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(grid=GRID, seed=32)
    file = tmp_path / "study.yaml"
    fields = settings.model_dump(mode="json", exclude={"tracking_uri", "selection"}, exclude_defaults=True)
    fields["selection"] = {"top_k": 2}
    fields["budget"] = {"max_wall_hours": 0.0001, "max_disk_gb": 500}
    file.write_text(yaml.safe_dump(fields), encoding="utf-8")
    main_of = ["plan", str(file)]
    with pytest.raises(SystemExit) as ended:
        main(main_of)
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "20 trials and refits left" in printed
    assert "epochs of pre-training" in printed
    assert "budget.max_wall_hours 0.0001:" in printed
    assert "it will be used up before the end" in printed
    assert re.search(r"budget.max_disk_gb 500: 0\.\d\d used, 0\.\d\d more are asked for; it is enough", printed)
    assert "memory at most" in printed


def test_where_trials_may_be_stopped_the_figures_are_upper_bounds(
    make_settings: MakeSettings, ray_cluster: None
) -> None:
    search = {"strategy": "optuna", "num_trials": 3}
    made = forecast_study(make_settings(grid=GRID, seed=33, search=search), StudyObserver())
    assert [cell.num_trials for cell in made.cells] == [3, 3, 3, 3]
    assert any("upper bounds" in note for note in made.notes)
