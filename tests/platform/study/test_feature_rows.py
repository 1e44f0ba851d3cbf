"""A whole small study of rows that are fitted to features, and of rows whose heads start from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from pretrieve.backbones.state_dicts import read_kept_weights
from pretrieve.components.hyperparameters import L2
from pretrieve.features.stored_features import draw_labelled_features, read_labelled_features
from pretrieve.records import CellRecord
from pretrieve.stages.context import walking
from pretrieve.stages.features import SOURCE
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.stages.trial_features import TrialFeaturesStage
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.training.linear_heads import class_means, logistic_regression
from pretrieve_dashboards import render_report

pytestmark = pytest.mark.usefixtures("ray_cluster")

METHODS = (
    "finetune",
    "linear_probe",
    "class_means",
    {"name": "warm", "objective": "finetune", "head_start": "from_probe"},
    {"name": "joint_warm", "selector": "uot", "objective": "joint", "head_start": "from_means"},
)


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.begun: list[TrialEvent] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.begun += [event] if event.state == "started" else []


@pytest.fixture
def settings(make_settings: Callable[..., StudySettings]) -> StudySettings:
    return make_settings(
        targets=["tiny-a"], methods=list(METHODS), grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]}
    )


def features_of(settings: StudySettings, *splits: str) -> tuple[torch.Tensor, torch.Tensor]:
    with walking(settings, StudyObserver(), makes=False) as context:
        folders = context.get(TrialFeaturesStage)
    features, labels = read_labelled_features([folders["tiny-a", split] for split in splits])
    return torch.from_numpy(features), torch.from_numpy(labels)


def test_a_study_of_feature_rows(settings: StudySettings) -> None:
    record, ear = run_study(settings, StudyObserver()), Ear()
    cells = {cell.method: cell for cell in record.cells}
    assert {name: len(cell.trials) for name, cell in cells.items()} == {
        "finetune": 1,
        "linear_probe": len(L2.grid),
        "class_means": 1,
        "warm": 1,
        "joint_warm": 1,
    }
    assert {name: len(cell.refits) for name, cell in cells.items()} == {
        "finetune": 2,
        "linear_probe": 1,
        "class_means": 1,
        "warm": 2,
        "joint_warm": 2,
    }
    run_study(settings, ear)
    assert ear.begun == [], "nothing is computed twice"

    _check_probe(settings, cells["linear_probe"])
    _check_warm_start(settings)
    assert {"linear_probe", "class_means"} <= set(render_report(record).replace(">", " ").replace("<", " ").split())


def _check_probe(settings: StudySettings, cell: CellRecord) -> None:
    """Its scores and weights are those of the fit to the stored features."""
    (train, labels), (val, val_labels) = features_of(settings, "train"), features_of(settings, "val")
    for trial in cell.trials:
        l2 = float(dict(trial.hyperparameters)["l2"])
        head = logistic_regression(train, labels, num_classes=3, l2=l2)
        predicted = (val @ head.weight.T + head.bias).argmax(1)
        assert trial.score == pytest.approx(float((predicted == val_labels).double().mean()))
    assert cell.best is not None
    whole, test = features_of(settings, "train", "val"), features_of(settings, "test")
    head = logistic_regression(*whole, num_classes=3, l2=float(cell.best["l2"]))
    predicted = (test[0] @ head.weight.T + head.bias).argmax(1)
    (refit,) = cell.refits
    assert refit.score == pytest.approx(float((predicted == test[1]).double().mean()))
    state = read_kept_weights(settings.folder / "refits" / f"{refit.key}.pt")
    torch.testing.assert_close(state["target_head.weight"], head.weight, atol=1e-5, rtol=1e-4)
    run = MlflowClient(settings.tracking()).get_run(refit.run_id)
    assert run.data.params["objective"] == "linear_probe"


def _check_warm_start(settings: StudySettings) -> None:
    """The heads that trials started from are kept in the store: of the target for trials and refits, of the source."""
    heads = [dict(np.load(path)) for path in sorted((settings.cache / "heads").glob("*.npz"))]
    found = sorted(head["weight"].shape[0] for head in heads)
    assert found == [3, 3, 3, 3, 6]
    means = class_means(*features_of(settings, "train", "val"), num_classes=3)
    assert any(
        head["weight"].shape == tuple(means.weight.shape) and np.allclose(head["weight"], means.weight.numpy())
        for head in heads
    )


def test_a_study_of_fitted_rows_alone_is_forecast_and_run(make_settings: Callable[..., StudySettings]) -> None:
    settings = make_settings(name="fitted", targets=["tiny-b"], methods=["class_means", "linear_probe"], seed=7)
    before = forecast_study(settings, StudyObserver())
    features = next(stage for stage in before.stages if stage.stage == "trial features")
    assert features.work == "48 images"
    assert [cell.num_trials for cell in before.cells] == [1, len(L2.grid)]
    assert all(0 < cell.trial_s < 5 for cell in before.cells)
    record = run_study(settings, StudyObserver())
    assert [len(cell.refits) for cell in record.cells] == [1, 1]
    after = forecast_study(settings, StudyObserver())
    assert [cell.num_done for cell in after.cells] == [1, len(L2.grid)]


def test_the_source_head_starts_without_the_images_that_an_audit_leaves_out(settings: StudySettings) -> None:
    with walking(settings, StudyObserver()) as context:
        folder: Path = context.get(TrialFeaturesStage)[SOURCE, "train"]
    features, labels = draw_labelled_features(folder, max_per_class=4)
    assert np.bincount(labels).tolist() == [4] * 6
    again, _ = draw_labelled_features(folder, max_per_class=4)
    assert np.array_equal(features, again)
    all_features, all_labels = read_labelled_features([folder])
    left_out = np.flatnonzero(all_labels == 2)[:6].tolist()
    kept, kept_labels = draw_labelled_features(folder, max_per_class=4, left_out=left_out)
    assert np.bincount(kept_labels).tolist() == [4, 4, 2, 4, 4, 4]
    assert not any((all_features[row] == kept).all(1).any() for row in left_out)
