"""SGD that is pulled back to the pre-trained weights (L2-SP: Li et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pretrieve.components.hyperparameters import WEIGHT_DECAY
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.optimizers._base import Optimizer, take_any_gradient
from pretrieve.training.settings import Hyperparameters, TrainingSettings


class L2SP(Optimizer):
    """Follow the gradient with Nesterov momentum; the penalty is on the distance to the weights of the start.

    Its gradient, `weight_decay` · (w − w₀), takes the place of the usual one, `weight_decay` · w: little data then
    cannot wear down what the pre-training has learned. Fresh heads have the usual one, as in the paper.
    `training.momentum` is the share of the velocity that each step keeps.
    """

    name = "l2_sp"
    reads = ("momentum",)
    num_state_per_weight = 2

    def build(
        self, network: TwoHeadNetwork, hyperparameters: Hyperparameters, training: TrainingSettings
    ) -> torch.optim.Optimizer:
        groups, fresh = self.groups(network, hyperparameters), set(network.head_parameters())
        for group in groups:
            group["is_pulled"] = not any(parameter in fresh for parameter in group["params"])
        decay = hyperparameters.read(WEIGHT_DECAY)
        optimizer = _PulledSGD(groups, momentum=training.momentum, nesterov=True, weight_decay=decay)
        take_any_gradient(optimizer)
        return optimizer


class _PulledSGD(torch.optim.SGD):
    """SGD whose weight decay is towards the weights before the first step, where a group `is_pulled`.

    These weights are part of its state, so that a checkpoint holds them.
    """

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if group["is_pulled"] and parameter.grad is not None:
                    kept: dict[str, Any] = self.state[parameter]
                    start = kept.setdefault("start", parameter.detach().clone())
                    parameter.grad.sub_(start, alpha=group["weight_decay"])
        loss: float | None = super().step(closure)
        return loss
