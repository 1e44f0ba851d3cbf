"""Soft pseudo-labels (eq. 7): the target head teaches itself on source images that have no labels."""

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


class SoftPseudoLabel(Objective):
    """Target cross-entropy + λ · cross-entropy of the strong view against the weak view's prediction (eq. 7).

    The soft label is softmax of the weak view's logits in the target's classes, detached: no temperature sharpens it,
    no threshold masks an image, and the only head is the target's. The source's labels are not read.

    The paper leaves open whether the weak view shares the pass of the others. Here one pass runs over
    [target ; weak ; strong]: the pseudo-label is then the prediction of the very network that learns from it, under the
    same batch statistics, as code in the manner of FixMatch has it. A pass of its own would update the running
    statistics twice a step and give the weak view statistics of source images alone, which no other image sees. Through
    batch norm's statistics the weak images take part in the gradient; through the pseudo-label they do not.

    Args:
      source_weight: λ > 0.
    """

    name = "pseudo_label"
    uses_source = True
    uses_strong_view = True

    def __init__(self, source_weight: float) -> None:
        self.source_weight = source_weight

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> SoftPseudoLabel:
        """Build it with λ."""
        return cls(required_source_weight(hyperparameters))

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Mean cross-entropies of target and strong view, added with weight λ."""
        assert source is not None, "the loop gives a source batch to every objective that uses one"
        logits = at_least_float32(network(torch.cat([target.images, source.images, _strong_view(source)])))
        num_source = len(source.images)
        target_logits, weak_logits, strong_logits = logits.split([len(target.labels), num_source, num_source])
        target_loss = F.cross_entropy(target_logits, target.labels)
        source_loss = _pseudo_label_cross_entropy(weak_logits, strong_logits)
        total = target_loss + self.source_weight * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())

    def source_loss(self, network: TwoHeadNetwork, source: Batch) -> Tensor:
        """Mean cross-entropy of the strong view against the weak view's prediction."""
        logits = at_least_float32(network(torch.cat([source.images, _strong_view(source)])))
        weak_logits, strong_logits = logits.chunk(2)
        return _pseudo_label_cross_entropy(weak_logits, strong_logits)


def _strong_view(source: Batch) -> Tensor:
    assert source.strong_images is not None, "the loop gives a strong view to every objective that uses one"
    return source.strong_images


def _pseudo_label_cross_entropy(weak_logits: Tensor, strong_logits: Tensor) -> Tensor:
    pseudo_labels = weak_logits.detach().softmax(dim=1)
    return F.cross_entropy(strong_logits, pseudo_labels)
