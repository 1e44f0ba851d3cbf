"""Soft pseudo-labels (eq. 7): the target head learns its own predictions on source images without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import Batch, SourceObjective, StepLoss, at_least_float32


class SoftPseudoLabel(SourceObjective):
    """Target cross-entropy + λ · cross-entropy of the strong view against the weak view's prediction (eq. 7).

    The soft label is the softmax of the weak view's logits in the target's classes, detached. No temperature sharpens
    it, no threshold masks an image, and the only head is the target's. The source's labels are not used.

    The paper does not say whether the weak view shares the pass of the other images. Here one pass runs over [target ;
    weak ; strong]: the network that learns from the pseudo-label also predicts it, under the same batch statistics, as
    in implementations of FixMatch. A separate pass would update the running statistics twice per step and would give
    the weak view statistics of source images alone, which no other image sees. The weak images affect the gradient
    through batch norm's statistics, but not through the pseudo-label.
    """

    name = "pseudo_label"
    uses_strong_view = True

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        assert source is not None, "the loop gives a source batch to every objective that uses one"
        logits = at_least_float32(network(torch.cat([target.images, source.images, _strong_view(source)])))
        num_source = len(source.images)
        target_logits, weak_logits, strong_logits = logits.split([len(target.labels), num_source, num_source])
        target_loss = F.cross_entropy(target_logits, target.labels)
        source_loss = _pseudo_label_cross_entropy(weak_logits, strong_logits)
        total = target_loss + self.source_weight * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())

    def source_loss(self, network: TwoHeadNetwork, source: Batch) -> Tensor:
        logits = at_least_float32(network(torch.cat([source.images, _strong_view(source)])))
        weak_logits, strong_logits = logits.chunk(2)
        return _pseudo_label_cross_entropy(weak_logits, strong_logits)


def _strong_view(source: Batch) -> Tensor:
    assert source.strong_images is not None, "the loop gives a strong view to every objective that uses one"
    return source.strong_images


def _pseudo_label_cross_entropy(weak_logits: Tensor, strong_logits: Tensor) -> Tensor:
    return F.cross_entropy(strong_logits, weak_logits.detach().softmax(dim=1))
