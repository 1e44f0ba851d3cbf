"""Small work for the loop: noise images whose classes differ in colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from array_images import ArrayImages

from pretrieve.backbones import find_architecture
from pretrieve.components import OBJECTIVES
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import AugmentationSettings, Hyperparameters, TrainingSettings


def coloured_images(num_classes: int, per_class: int, seed: int) -> ArrayImages:
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(99).integers(0, 200, (num_classes, 3))
    labels = np.repeat(np.arange(num_classes), per_class)
    images = colours[labels][:, None, None, :] + rng.integers(0, 56, (len(labels), 32, 32, 3))
    return ArrayImages(images.astype(np.uint8), labels)


@pytest.fixture
def make_images() -> Callable[[int, int, int], ArrayImages]:
    return coloured_images


@pytest.fixture
def make_work() -> Callable[..., FineTuning]:
    """Build the same work again and again: same weights, same data, same seed."""

    def make(
        *, objective: str = "joint", epochs: int = 4, lr: float = 0.05, batch_size: int = 8, **training: Any
    ) -> FineTuning:
        architecture = find_architecture("small_resnet")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone = architecture.build()
        uses_source = objective == "joint"
        hyperparameters = Hyperparameters(
            lr=lr, weight_decay=1e-4, head_lr_ratio=2.0, source_weight=0.5 if uses_source else None
        )
        network = TwoHeadNetwork(
            backbone,
            feature_dim=architecture.feature_dim,
            num_target_classes=3,
            num_source_classes=5 if uses_source else 0,
            generator=torch.Generator().manual_seed(1),
        )
        return FineTuning(
            network=network,
            objective=OBJECTIVES.find(objective).build(hyperparameters, None),
            target=coloured_images(3, 9, seed=0),
            source=coloured_images(5, 7, seed=1) if uses_source else None,
            preprocessing=architecture.preprocessing,
            settings=TrainingSettings(
                epochs=epochs,
                batch_size=batch_size,
                augmentation=AugmentationSettings(crop_area=(0.6, 1.0)),
                **training,
            ),
            hyperparameters=hyperparameters,
            seed=5,
            device=torch.device("cpu"),
        )

    return make
