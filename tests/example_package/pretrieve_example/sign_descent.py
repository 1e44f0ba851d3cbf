"""An optimizer that goes by the signs of the gradients alone."""

import torch

from pretrieve.training.optimizers import Optimizer


class _SignDescent(torch.optim.Optimizer):
    def __init__(self, groups, momentum, weight_decay):
        super().__init__(groups, {"momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                mean = self.state[weights].setdefault("mean", torch.zeros_like(weights))
                mean.lerp_(weights.grad, 1 - group["momentum"])
                weights.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * mean.sign())


class SignDescent(Optimizer):
    """Move each weight by the rate, against the sign of the mean of its gradients (Bernstein et al. 2018)."""

    name = "sign_descent"
    reads = ("momentum",)
    num_state_per_weight = 1

    def build(self, network, hyperparameters, training):
        decay = hyperparameters.get("weight_decay") or 0.0
        return _SignDescent(self.groups(network, hyperparameters), training.momentum, decay)
