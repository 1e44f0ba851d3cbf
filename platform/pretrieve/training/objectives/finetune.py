"""Plain fine-tuning: the joint objective with no source stream."""

from __future__ import annotations

import torch.nn.functional as F

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import Batch, Objective, StepLoss


class Finetune(Objective):
    """Cross-entropy on the target batch alone (eq. 2)."""

    name = "finetune"
    uses_source = False

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        """Mean cross-entropy of the target head."""
        loss = F.cross_entropy(network(target.images).float(), target.labels)
        return StepLoss(loss, loss.detach(), None)
