"""Everything a training starts from: network, images and settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import Architecture, Preprocessing
from pretrieve.components import OBJECTIVES
from pretrieve.training.head_starts import HeadStart
from pretrieve.training.head_starts._base import Examples, no_examples
from pretrieve.training.length import Length
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
      target: training images of the target; where they are fewer than a batch, a step uses all of them.
      source: images of the selected groups; None exactly when the objective uses none.
      seed: decides order, crops, flips and blends.
      num_parts: parts of a step's batch that pass through the network one after the other, their gradients added up;
        `parts` are fewer where the batch is small. Batch norm sees one part at a time.
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
    def length(self) -> Length:
        """Its steps, in epochs."""
        return Length.of(self.settings, len(self.target), has_source=self.source is not None)

    @property
    def batch_size(self) -> int:
        """Target images per step, over all processes."""
        return self.settings.step_sizes(len(self.target))[0]

    @property
    def source_batch_size(self) -> int:
        """Source images per step, over all processes; 0 without a source stream."""
        return 0 if self.source is None else self.settings.step_sizes(len(self.target))[1]

    @property
    def parts(self) -> list[tuple[slice, slice]]:
        """The rows of each part in this process's target and source batch.

        Each part has the same share of both, so that the gradients add up to that of the whole step, and at least two
        images of each, the fewest that batch norm accepts. Parts are equal where their number divides both batches.
        """
        batches = [size // self.process_group.size for size in (self.batch_size, self.source_batch_size)]
        num_shares = math.gcd(*batches)
        target, source = (size // num_shares for size in batches)  # images of a share
        most = num_shares // math.ceil(2 / min(target, source or target))
        number = max(1, min(self.num_parts, most))
        bounds = [k * num_shares // number for k in range(number + 1)]
        return [(slice(a * target, b * target), slice(a * source, b * source)) for a, b in pairwise(bounds)]


@dataclass(frozen=True)
class TrialInputs:
    """What a trial is computed from, wherever it was stored.

    Attributes:
      backbone: (N, 3, S, S) → (N, D), with its pre-trained weights.
      target, evaluate: images of the target to train on, and to score.
      source: images of the selected groups; None if the objective uses none.
      source_classifier: D → K_source, the classifier of the pre-training; None: the source head is a fresh one.
      relationship: (K_target, K_source), for Co-Tuning.
      head_start: how fresh heads start; None: as the trial says.
      target_examples, source_examples: what it may look at.
    """

    architecture: Architecture
    backbone: nn.Module
    target: LabelledImages
    evaluate: LabelledImages
    source: LabelledImages | None
    source_classifier: nn.Linear | None = None
    relationship: Relationship | None = None
    head_start: HeadStart | None = None
    target_examples: Examples = no_examples
    source_examples: Examples = no_examples

    def fine_tuning(self, spec: TrialSpec, *, device: torch.device, process_group: ProcessGroup = ALONE) -> FineTuning:
        """Set up the training of a trial; first weights of its heads that are random are drawn from its seed."""
        network = TwoHeadNetwork(
            self.backbone,
            feature_dim=self.architecture.feature_dim,
            num_target_classes=spec.num_target_classes,
            num_source_classes=spec.num_source_classes,
            source_classifier=self.source_classifier,
        ).to(device)
        network.start_heads(
            self.head_start or spec.training.build_head_start(),
            torch.Generator().manual_seed(derived_seed(spec.seed, "heads")),
            target_examples=self.target_examples,
            source_examples=self.source_examples,
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
