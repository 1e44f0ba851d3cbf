"""Everything a training starts from: network, images and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import Architecture, Preprocessing
from pretrieve.components import HEAD_STARTS, OBJECTIVES
from pretrieve.training.evaluation import training_features
from pretrieve.training.head_starts._base import Examples, no_examples
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Objective, Relationship
from pretrieve.training.process_group import ALONE, ProcessGroup
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec


class LabelledImages(Protocol):
    """N square images of one size with their labels, wherever they are stored; a square may hold a squeezed picture."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, > 0: width / height of each square's original picture; 1 if it was not squeezed."""

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) int64 `indices`."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class FineTuning:
    """Everything that decides the weights at the end of a trial.

    Attributes:
      network: on `device`; starts from the backbone's weights and is trained in place.
      target: training images of the target; at least one batch.
      source: images of the selected groups; None exactly when the objective uses none.
      seed: decides order, crops, flips and blends.
      num_parts: parts of a step's batch that pass through the network one after the other, their gradients added up. It
        divides each process's batches. Batch norm sees one part at a time.
      process_group: the processes that share each batch. Their gradients are averaged. Batch norm sees each process's
        own part, unless the settings synchronise it.
    """

    network: TwoHeadNetwork
    objective: Objective
    target: LabelledImages
    source: LabelledImages | None
    preprocessing: Preprocessing
    settings: TrainingSettings
    hyperparameters: Hyperparameters
    seed: int
    device: torch.device
    num_parts: int = 1
    process_group: ProcessGroup = ALONE

    @property
    def num_steps(self) -> int:
        """Steps per epoch."""
        return self.settings.steps_per_epoch(len(self.target))

    @property
    def source_batch_size(self) -> int:
        """Source images per step, over all processes; 0 without a source stream."""
        return 0 if self.source is None else self.settings.source_batch_size or self.settings.batch_size


@dataclass(frozen=True)
class TrialInputs:
    """What a trial is computed from, wherever it was stored.

    Attributes:
      backbone: (N, 3, S, S) → (N, D), with its pre-trained weights.
      target, evaluate: images of the target to train on, and to score.
      source: images of the selected groups; None if the objective uses none.
      source_classifier, relationship: D → K_source, the classifier of the pre-training, and (K_target, K_source); for
        Co-Tuning.
    """

    architecture: Architecture
    backbone: nn.Module
    target: LabelledImages
    evaluate: LabelledImages
    source: LabelledImages | None
    source_classifier: nn.Linear | None = None
    relationship: Relationship | None = None

    def fine_tuning(
        self,
        spec: TrialSpec,
        *,
        device: torch.device,
        process_group: ProcessGroup = ALONE,
        on_batch: Callable[[], None] = lambda: None,
    ) -> FineTuning:
        """Set up the training of a trial; the first weights of its heads are drawn from its seed.

        `on_batch` is called after each batch of the examples that a head start asks for.
        """
        network = TwoHeadNetwork(
            self.backbone,
            feature_dim=self.architecture.feature_dim,
            num_target_classes=spec.num_target_classes,
            num_source_classes=spec.num_source_classes,
            source_classifier=self.source_classifier,
        ).to(device)
        network.start_heads(
            HEAD_STARTS.build(spec.head_start, spec.head_start_settings),
            torch.Generator().manual_seed(derived_seed(spec.seed, "heads")),
            target_examples=self._examples(self.target, device, on_batch),
            source_examples=self._examples(self.source, device, on_batch),
        )
        return FineTuning(
            network=network,
            objective=OBJECTIVES.find(spec.objective).build(spec.hyperparameters, self.relationship),
            target=self.target,
            source=self.source,
            preprocessing=self.architecture.preprocessing,
            settings=spec.training,
            hyperparameters=spec.hyperparameters,
            seed=spec.seed,
            device=device,
            num_parts=spec.num_parts,
            process_group=process_group,
        )

    def _examples(self, images: LabelledImages | None, device: torch.device, on_batch: Callable[[], None]) -> Examples:
        if images is None:
            return no_examples

        @cache
        def examples() -> tuple[Tensor, Tensor]:
            features = training_features(self.backbone, images, self.architecture.preprocessing, device, on_batch)
            return features, images.labels.cpu()

        return examples
