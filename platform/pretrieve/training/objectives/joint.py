"""The joint objective with two heads (eq. 6): the source batch is classified beside the target batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import (
    Batch,
    Objective,
    Relationship,
    StepLoss,
    at_least_float32,
    required_source_weight,
)
from pretrieve.training.settings import Hyperparameters


class JointTwoHead(Objective):
    """Target cross-entropy + λ · source cross-entropy, over one forward pass (eq. 6).

    One pass over [target ; source] lets batch norm see both streams, as the authors' script does.

    Args:
      source_weight: λ > 0.
    """

    name = "joint"
    uses_source = True
    uses_source_head = True

    def __init__(self, source_weight: float) -> None:
        self.source_weight = source_weight

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> JointTwoHead:
        """Build it with λ."""
        return cls(required_source_weight(hyperparameters))

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Mean cross-entropies of the two heads, added with weight λ."""
        assert source is not None, "the loop gives a source batch to every objective that uses one"
        features = network.backbone(torch.cat([target.images, source.images]))
        target_features, source_features = features.split([len(target.labels), len(source.labels)])
        target_loss = F.cross_entropy(at_least_float32(network.target_head(target_features)), target.labels)
        source_loss = _source_cross_entropy(network, source_features, source.labels)
        total = target_loss + self.source_weight * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())

    def source_loss(self, network: TwoHeadNetwork, source: Batch) -> Tensor:
        """Mean cross-entropy of the source head."""
        return _source_cross_entropy(network, network.backbone(source.images), source.labels)


def _source_cross_entropy(network: TwoHeadNetwork, features: Tensor, labels: Tensor) -> Tensor:
    assert network.source_head is not None, "the trial builds a source head for every objective that uses one"
    return F.cross_entropy(at_least_float32(network.source_head(features)), labels)
