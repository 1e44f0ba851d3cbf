"""Trials over a small image cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pretrieve.backbones import find_architecture
from pretrieve.backbones.backbone import identify
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.scored_images import identify_images, write_scored_images
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.execution.trial_task import PredictionFiles, TrialTask
from pretrieve.image_cache.entries import CacheEntry, write_entry
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

MakeTask = Callable[..., TrialTask]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Make tasks over a small image cache and untrained weights."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 8)
    pixels = (labels[:, None, None, None] * 80 + rng.integers(0, 40, (24, 32, 32, 3))).astype(np.uint8)
    made = image_set_from_arrays("t", "abc", {"train": (pixels, labels)})
    write_entry(CacheEntry("train", made.splits["train"], 32), tmp_path / "images" / "train")
    write_scored_images(tmp_path / "scored.json", identify_images(made.splits["train"], "abc"))
    architecture = find_architecture("small_resnet")
    torch.manual_seed(0)
    network = architecture.build()
    write_weights(network.state_dict(), tmp_path / "weights.pt")

    def make(
        key: str = "k",
        kind: Any = "trial",
        lr: float = 0.02,
        objective: str = "joint",
        training: TrainingSettings | None = None,
    ) -> TrialTask:
        uses_source = objective in ("joint", "pseudo_label")
        point = Hyperparameters(lr=lr, source_weight=0.5 if uses_source else None)
        images = (tmp_path / "images" / "train",)
        return TrialTask(
            spec=TrialSpec(
                kind=kind,
                target="t",
                method="uot",
                key=key,
                objective=objective,
                hyperparameters=point,
                seed=1,
                training=training or TrainingSettings(epochs=3, batch_size=8),
                metric="top1",
                num_target_classes=3,
                num_source_classes=3 if uses_source else 0,
            ),
            architecture_name="small_resnet",
            weights_path=tmp_path / "weights.pt",
            backbone_identity=identify(architecture, network.state_dict()),
            train=StoredRows(folders=images),
            evaluate=StoredRows(folders=images),
            source=images if uses_source else (),
            spool_path=tmp_path / "spool" / f"{key}.jsonl",
            checkpoint_path=tmp_path / "checkpoints" / f"{key}.pt",
            weights_out=tmp_path / "refits" / f"{key}.pt" if kind == "refit" else None,
            predictions=PredictionFiles(images=tmp_path / "scored.json", out=tmp_path / "predictions" / f"{key}.arrows")
            if kind == "refit"
            else None,
            num_threads=1,
            provenance={},
        )

    return make
