"""The contract of an objective: how a step's loss is computed from a target batch and a source batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretrieve.components.hyperparameters import SOURCE_WEIGHT, Hyperparameter
from pretrieve.training.linear_heads import LinearHead
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters

Relationship = NDArray[np.float64]
"""(K_target, K_source) conditional probabilities p(y_source | y_target), see `category_relationship`."""


class Batch(NamedTuple):
    """Augmented, normalised images on the device.

    Attributes:
      images: (B, 3, S, S) float; the source's weak view for an objective with `uses_strong_view`.
      labels: (B,) int64; or, where the study smooths, weights or mixes them, (B, K) float32 ≥ 0: how much each class
        counts. One-hot rows are the same as labels, and a row times w counts w times. `F.cross_entropy` takes both.
      strong_images: (B, 3, S, S) float, the strong view of the same images in the same order. None unless the batch is
        the source's and the objective has `uses_strong_view`.
    """

    images: Tensor
    labels: Tensor
    strong_images: Tensor | None = None

    def part(self, rows: slice | Tensor) -> Batch:
        """Return some of the images."""
        strong = None if self.strong_images is None else self.strong_images[rows]
        return Batch(self.images[rows], self.labels[rows], strong)


class StepLoss(NamedTuple):
    """The loss of one step and its parts.

    Attributes:
      total: scalar, differentiable: what the optimizer minimises.
      target: scalar, detached: cross-entropy on the target's labels.
      source: scalar, detached, before its weight: the term of the source, from its images (eq. 6, 7) or its categories
        (Co-Tuning); None if there is none.
    """

    total: Tensor
    target: Tensor
    source: Tensor | None


class Objective(ABC):
    """How a step's loss is computed. An objective knows nothing of data loading, Ray or MLflow.

    Every term of a loss is a mean over the images of its stream. So a step may be computed in chunks: if each chunk
    holds the share w_i of the target batch and the same share of the source batch, then Σ w_i · total_i is the total of
    the whole step and Σ w_i · ∇total_i its gradient, as long as the network treats images one by one. Batch norm in
    training mode does not: it sees the chunk's statistics instead of the batch's.

    With `training.batch_norm: target_only` the two streams are normalised apart, and an objective need not know. They
    are told apart by their place: a pass of the network, or of its backbone as a whole, begins with all of the target's
    images, and what follows is the source's, as in `torch.cat([target.images, source.images])`. Streams may pass one by
    one: a pass of `source.images`, of `source.strong_images`, or of a slice of one is the source's. Any other pass with
    fewer images than the target's batch raises UserError.

    Attributes:
      name: its name in studies.
      hyperparameters: those that `build` reads.
      uses_source: a step needs a batch of the source stream.
      uses_strong_view: that batch needs `strong_images`.
      uses_source_head: the network needs a source head.
      uses_relationship: `build` needs a relationship, and the source head starts from the pre-trained classifier.
      is_fitted: it is a `FeatureObjective`.
    """

    name: ClassVar[str]
    hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = ()
    uses_source: ClassVar[bool] = False
    uses_strong_view: ClassVar[bool] = False
    uses_source_head: ClassVar[bool] = False
    uses_relationship: ClassVar[bool] = False
    is_fitted: ClassVar[bool] = False

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> Objective:
        """Build the objective of one grid point; by default it uses neither of the two.

        The point has a value of each of `hyperparameters`. The relationship,
        (K_target, K_source) float64, is given if `uses_relationship` is True, and ignored otherwise.
        """
        return cls()

    @abstractmethod
    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Compute the loss of one step, best with a single forward pass of the network, in training mode.

        `source` is None exactly when `uses_source` is False.
        """

    def source_loss(self, network: TwoHeadNetwork, source: Batch) -> Tensor:
        """Compute h, the loss on a source batch alone, before its weight λ: a differentiable scalar.

        Only for objectives with `uses_source`. `loss` does not call it, because it makes one pass over both streams.
        """
        raise NotImplementedError(f"{self.name} has no loss on a source stream")


def at_least_float32(logits: Tensor) -> Tensor:
    """Widen half-precision logits to float32, where a softmax is safe; keep float32 and float64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class SourceObjective(Objective):
    """Base of objectives with a source stream, whose loss has the weight `source_weight`: λ > 0."""

    uses_source = True
    hyperparameters = (SOURCE_WEIGHT,)

    def __init__(self, source_weight: float) -> None:
        self.source_weight = source_weight

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> SourceObjective:
        return cls(hyperparameters.read(SOURCE_WEIGHT))


class FeatureObjective(Objective):
    """Base of objectives that train no network: they fit the target's head to features of the pre-trained backbone.

    A trial of one reads features from the store in place of images, and has one epoch.
    """

    is_fitted = True

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> LinearHead:
        """Fit the head: weight (K, D) and bias (K,), float32, finite, on the CPU.

        The same arguments give the same head. Some classes may have no image.

        Args:
          features: (N, D) float32 of the training images, viewed as in prediction, N ≥ 1.
          labels: (N,) int64 in [0, num_classes).
          num_classes: K.
        """

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Raise NotImplementedError: there are no steps."""
        raise NotImplementedError(f"{self.name} is fitted to features, not trained in steps")
