"""Towers of timm without a classifier go through a whole study, from features to the registered model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from pretrieve.data.registry import find_image_set
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("ray_cluster")]

MakeSettings = Callable[..., StudySettings]


@pytest.mark.parametrize(("model", "size"), [("vit_small_patch14_dinov2", 28), ("vit_base_patch32_siglip_256", 32)])
def test_a_tower_runs_from_features_to_a_model_that_predicts_what_its_refit_scored(
    make_settings: MakeSettings, tmp_path: Path, model: str, size: int
) -> None:
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(model).state_dict(), tmp_path / "tower.pt")  # for images of its own size
    (tmp_path / "runs" / "cache").unlink()  # what is made of so many weights goes with this test
    settings = make_settings(
        targets=["tiny-a"],
        backbone={"name": f"timm:{model}", "weights": str(tmp_path / "tower.pt"), "image_size": size},
        methods=["uot"],
        grid={"lr": [0.001], "weight_decay": [0.0], "source_weight": [0.5]},
        training={"epochs": 1, "batch_size": 8},
        refit={"num_seeds": 1},
    )
    record = run_study(settings, StudyObserver())
    assert list((settings.cache / "features").rglob("*.parquet")), "the selection was made from its features"
    mlflow.set_tracking_uri(settings.tracking())
    champion: Any = mlflow.pyfunc.load_model(record.models["tiny-a"])
    test = find_image_set("tiny-a", cache=settings.cache).splits["test"]
    predictions = champion.predict(pd.DataFrame({"image": test["content"].to_pylist()}))
    score = float(np.mean(predictions["class_index"].to_numpy() == test["label"].to_numpy()))
    assert [cell.test_mean for cell in record.cells] == [pytest.approx(score)]
