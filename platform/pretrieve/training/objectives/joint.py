"""The joint objective with two heads (eq. 6): the source batch is classified beside the target batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import Batch, Objective, StepLoss


class JointTwoHead(Objective):
    """Target cross-entropy + λ · source cross-entropy, over one forward pass (eq. 6).

    One pass over [target ; source] lets batch norm see both streams, as the authors' script does.

    Args:
      source_weight: λ > 0.
    """

    name = "joint"
    uses_source = True

    def __init__(self, source_weight: float) -> None:
        self.source_weight = source_weight

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Mean cross-entropies of the two heads, added with weight λ."""
        assert source is not None, "the loop gives a source batch to every objective that uses one"
        assert network.source_head is not None, "the trial builds a source head for every objective that uses one"
        features = network.backbone(torch.cat([target.images, source.images]))
        target_features, source_features = features.split([len(target.labels), len(source.labels)])
        target_loss = F.cross_entropy(network.target_head(target_features).float(), target.labels)
        source_loss = F.cross_entropy(network.source_head(source_features).float(), source.labels)
        total = target_loss + self.source_weight * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())
