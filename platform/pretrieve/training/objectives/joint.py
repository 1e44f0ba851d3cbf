"""The joint objective with two heads (eq. 6): the source batch is classified along with the target batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import Batch, SourceObjective, StepLoss, at_least_float32


class JointTwoHead(SourceObjective):
    """Target cross-entropy + λ · source cross-entropy, over one forward pass (eq. 6).

    One pass over [target ; source] lets batch norm see both streams, as in the authors' script.
    """

    name = "joint"
    uses_source_head = True

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        assert source is not None, "the loop gives a source batch to every objective that uses one"
        features = network.backbone(torch.cat([target.images, source.images]))
        target_features, source_features = features.split([len(target.labels), len(source.labels)])
        target_loss = F.cross_entropy(at_least_float32(network.target_head(target_features)), target.labels)
        source_loss = _source_cross_entropy(network, source_features, source.labels)
        total = target_loss + self.source_weight * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())

    def source_loss(self, network: TwoHeadNetwork, source: Batch) -> Tensor:
        return _source_cross_entropy(network, network.backbone(source.images), source.labels)


def _source_cross_entropy(network: TwoHeadNetwork, features: Tensor, labels: Tensor) -> Tensor:
    assert network.source_head is not None, "the trial builds a source head for every objective that uses one"
    return F.cross_entropy(at_least_float32(network.source_head(features)), labels)
