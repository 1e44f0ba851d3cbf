"""SGD with Nesterov momentum, the paper's optimizer (section 4.1, appendix A)."""

from __future__ import annotations

import torch

from pretrieve.components.hyperparameters import WEIGHT_DECAY
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.optimizers._base import Optimizer, take_any_gradient
from pretrieve.training.settings import Hyperparameters, TrainingSettings


class SGD(Optimizer):
    """Follow the gradient with Nesterov momentum; the weight decay is added to the gradient.

    `training.momentum` is the share of the velocity that each step keeps.
    """

    name = "sgd"
    reads = ("momentum",)
    num_state_per_weight = 1

    def build(
        self, network: TwoHeadNetwork, hyperparameters: Hyperparameters, training: TrainingSettings
    ) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(
            self.groups(network, hyperparameters),
            momentum=training.momentum,
            nesterov=True,
            weight_decay=hyperparameters.read(WEIGHT_DECAY),
            fused=self.may_fuse(network),
        )
        take_any_gradient(optimizer)
        return optimizer
