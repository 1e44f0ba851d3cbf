"""The contract of an objective: how the loss of a step is made from a target batch and a source batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from pretrieve.training.network import TwoHeadNetwork


class Batch(NamedTuple):
    """Augmented, normalised images on the device.

    Attributes:
      images: (B, 3, S, S) float.
      labels: (B,) int64.
    """

    images: Tensor
    labels: Tensor


class StepLoss(NamedTuple):
    """The loss of one step and its parts.

    Attributes:
      total: scalar, differentiable: what the optimizer descends.
      target: scalar, detached: loss on the target batch.
      source: scalar, detached, before its weight; None without a source batch.
    """

    total: Tensor
    target: Tensor
    source: Tensor | None


class Objective(ABC):
    """How a step's loss is made. Knows nothing of data loading, Ray or MLflow."""

    name: ClassVar[str]
    uses_source: ClassVar[bool]

    @abstractmethod
    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Compute the loss of one step with a single forward pass.

        Args:
          network: in training mode.
          target: batch of the target stream.
          source: batch of the source stream; None exactly when `uses_source` is False.
        """
