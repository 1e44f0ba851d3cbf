"""Co-Tuning in a study: the relationship of categories, kept by key, and what needs no source stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrieve.backbones import find_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.errors import UserError
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]


class Ear(StudyObserver):
    """Keeps what it hears of the stage."""

    def __init__(self) -> None:
        self.relationships: list[tuple[int, int]] = []
        self.stages: list[str] = []

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        self.stages.append(stage)
        if stage == "relationships":
            self.relationships.append((total, done))


def test_co_tuning_runs_with_its_own_grid_and_relates_each_target_once(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=["tiny-a"],
        methods=["finetune", "co_tuning"],
        grid={"lr": [0.02], "weight_decay": [0.0], "co_tuning_lr": [0.01, 0.003]},
    )
    first, second = Ear(), Ear()
    record = run_study(settings, first)
    assert first.relationships == [(1, 0)]
    cell = record.cell("tiny-a", "co_tuning")
    assert sorted(trial.hyperparameters["lr"] for trial in cell.trials) == [0.003, 0.01]
    assert {trial.hyperparameters["source_weight"] for trial in cell.trials} == {2.3}
    assert cell.test_mean is not None
    (kept,) = (settings.cache / "relationships").glob("*.npy")
    relationship = np.load(kept)
    assert relationship.shape == (3, 6)
    np.testing.assert_allclose(relationship.sum(1), 1)
    run_study(settings, second)
    assert second.relationships == [(1, 1)]


def test_the_pre_training_may_have_known_more_classes_than_the_source_has(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    trunk, classifier = find_architecture("small_resnet").build(), torch.nn.Linear(64, 11)
    weights = {**trunk.state_dict(), **{f"fc.{name}": value for name, value in classifier.state_dict().items()}}
    torch.save(weights, tmp_path / "whole.pt")
    settings = make_settings(
        targets=["tiny-a"],
        methods=["co_tuning"],
        backbone={"name": "small_resnet", "weights": str(tmp_path / "whole.pt")},
        grid={"weight_decay": [0.0], "co_tuning_lr": [0.01]},
        training={"epochs": 1, "batch_size": 8},
        refit={"num_seeds": 1},
    )
    cell = run_study(settings, StudyObserver()).cell("tiny-a", "co_tuning")
    assert cell.test_mean is not None


def test_co_tuning_needs_the_classifier_of_the_pre_training(make_settings: MakeSettings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_weights(find_architecture("small_resnet").build().state_dict(), tmp_path / "trunk.pt")
    settings = make_settings(
        targets=["tiny-a"],
        methods=["co_tuning"],
        backbone={"name": "small_resnet", "weights": str(tmp_path / "trunk.pt")},
    )
    ear = Ear()
    with pytest.raises(UserError, match=r"'co_tuning' needs the classifier .* the weights of small_resnet hold none"):
        run_study(settings, ear)
    assert ear.stages == ["image sets"]  # the backbone is refused while it is looked up, and nothing is computed
