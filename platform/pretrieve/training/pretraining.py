"""Pre-training a backbone from scratch on the source, for studies that bring no weights along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import Architecture, BackboneParts
from pretrieve.settings_model import SettingsModel
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.images import LabelledImages
from pretrieve.training.loop import EpochCallback, fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Finetune
from pretrieve.training.settings import AugmentationSettings, Hyperparameters, TrainingSettings


class PretrainingSettings(SettingsModel):
    """How a backbone is pre-trained on the source; the loop is that of fine-tuning.

    Attributes:
      epochs: passes over the source's training images.
      batch_size: images a step.
      lr: first learning rate, divided by ten at 60% and 80%.
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
    """What a pre-training computes.

    Attributes:
      num_classes: K of the source.
      settings: epochs, batch and rates.
      seed: decides first weights, order and crops.
    """

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
    """Train a fresh backbone to tell the source's classes apart.

    Args:
      architecture: what to build.
      images: N training images of the source, N ≥ batch_size.
      spec: classes, settings and seed.
      device: where to train.
      callbacks: called after each epoch.

    Returns:
      The trained weights on `device`: the trunk, and the head as the classifier, a row for each class of the source.

    Raises:
      DivergedError: the loss was not finite.
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
