"""Pre-training of a backbone on the source, for studies that have no pre-trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import Architecture, BackboneParts
from pretrieve.settings_model import SettingsModel
from pretrieve.training.fine_tuning import FineTuning, LabelledImages
from pretrieve.training.loop import EpochCallback, fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives.finetune import Finetune
from pretrieve.training.settings import AugmentationSettings, Hyperparameters, TrainingSettings


class PretrainingSettings(SettingsModel):
    """How a backbone is pre-trained on the source; the loop is that of fine-tuning.

    Attributes:
      epochs: passes over the source's training images.
      batch_size: images per step.
      lr: first learning rate, divided by ten at 60% and 80% of the epochs.
      weight_decay: L2 penalty on all parameters.
      augmentation: random crops and flips.
    """

    epochs: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=2)] = 128
    lr: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    augmentation: AugmentationSettings = AugmentationSettings()

    @property
    def training(self) -> TrainingSettings:
        """The settings of the loop."""
        return TrainingSettings(epochs=self.epochs, batch_size=self.batch_size, augmentation=self.augmentation)


class PretrainingSpec(SettingsModel):
    """What decides the result of a pre-training; the seed decides first weights, order and crops."""

    num_classes: int
    settings: PretrainingSettings
    seed: int


def pretrain(
    architecture: Architecture,
    images: LabelledImages,
    spec: PretrainingSpec,
    *,
    device: torch.device,
    callbacks: Sequence[EpochCallback] = (),
) -> BackboneParts:
    """Train a freshly initialised backbone to classify the source's training images, at least one batch of them.

    `callbacks` are called after each epoch. Returns the trained weights on `device`: the trunk, and the head as the
    classifier, with one row per class of the source. Raises DivergedError if the loss was not finite.
    """
    settings, seed = spec.settings, spec.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "pretraining_weights"))
        backbone = architecture.build()
    network = TwoHeadNetwork(
        backbone,
        feature_dim=architecture.feature_dim,
        num_target_classes=spec.num_classes,
        num_source_classes=0,
        generator=torch.Generator().manual_seed(derived_seed(seed, "pretraining_head")),
    ).to(device)
    work = FineTuning(
        network=network,
        objective=Finetune(),
        target=images,
        source=None,
        preprocessing=architecture.preprocessing,
        settings=settings.training,
        hyperparameters=Hyperparameters(lr=settings.lr, weight_decay=settings.weight_decay, head_lr_ratio=1.0),
        seed=derived_seed(seed, "pretraining"),
        device=device,
    )
    fine_tune(work, callbacks=callbacks)
    return BackboneParts(backbone.state_dict(), classifier=network.target_head.state_dict())
