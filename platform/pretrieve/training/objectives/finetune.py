"""Plain fine-tuning, without a source stream."""

from __future__ import annotations

import torch.nn.functional as F

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import Batch, Objective, StepLoss, at_least_float32


class Finetune(Objective):
    """Cross-entropy on the target batch alone (eq. 2)."""

    name = "finetune"

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        loss = F.cross_entropy(at_least_float32(network(target.images)), target.labels)
        return StepLoss(loss, loss.detach(), None)
