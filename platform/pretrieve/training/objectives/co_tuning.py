"""Co-Tuning (You et al. 2020): the pre-trained classifier is kept and learns each target class's source categories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.components.hyperparameters import CO_TUNING_LR, CO_TUNING_WEIGHT
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives._base import (
    Batch,
    Objective,
    Relationship,
    StepLoss,
    at_least_float32,
)
from pretrieve.training.settings import Hyperparameters


class CoTuning(Objective):
    """Target cross-entropy + trade-off · cross-entropy of the source head against p(y_source | y_target).

    Both heads classify the same target images; there is no source stream. The source head starts from the backbone's
    pre-trained classifier. An image's soft label is the row of its class in the relationship, (K_target, K_source),
    whose rows sum to one; of several classes, the sum of their rows, each times what the class counts. The
    hyperparameter `co_tuning_weight` is the trade-off > 0.
    """

    name = "co_tuning"
    hyperparameters = (CO_TUNING_LR, CO_TUNING_WEIGHT)
    uses_source_head = True
    uses_relationship = True

    def __init__(self, trade_off: float, relationship: Relationship) -> None:
        self.trade_off = trade_off
        self._relationship = torch.tensor(relationship)

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> CoTuning:
        assert relationship is not None, "the trial gives a relationship to every objective that uses one"
        return cls(hyperparameters.read(CO_TUNING_WEIGHT), relationship)

    def loss(self, network: TwoHeadNetwork, target: Batch, source: Batch | None) -> StepLoss:
        assert network.source_head is not None, "the trial builds a source head for every objective that uses one"
        features = network.backbone(target.images)
        target_loss = F.cross_entropy(at_least_float32(network.target_head(features)), target.labels)
        source_logits = at_least_float32(network.source_head(features))
        # Stored after the move, so that the table is copied to the device once and not in each step.
        self._relationship = self._relationship.to(source_logits)
        source_loss = F.cross_entropy(source_logits, self._source_labels(target.labels))
        total = target_loss + self.trade_off * source_loss
        return StepLoss(total, target_loss.detach(), source_loss.detach())

    def _source_labels(self, labels: Tensor) -> Tensor:
        if labels.ndim == 1:
            return self._relationship[labels]
        with torch.autocast(labels.device.type, enabled=False):  # probabilities keep their precision
            return labels.to(self._relationship.dtype) @ self._relationship
