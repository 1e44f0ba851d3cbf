"""AdamW (Loshchilov and Hutter 2019), the usual optimizer of vision transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pretrieve.components.hyperparameters import WEIGHT_DECAY
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.optimizers._base import Optimizer, take_any_gradient
from pretrieve.training.settings import Hyperparameters, TrainingSettings


class AdamW(Optimizer):
    """Scale each weight's step by the size of its gradients; the weight decay shrinks the weights themselves.

    Each step multiplies the weights by 1 − rate · weight_decay. Values that suit `sgd` do not suit it: it wants a
    smaller `lr` and a larger `weight_decay`, such as 1e-4 and 0.05.

    Args:
      betas: shares of the means of gradients and of squared gradients that each step keeps; in [0, 1).
      eps: added to the root of the mean square, > 0.
    """

    name = "adamw"
    num_state_per_weight = 2

    def __init__(self, layer_decay: float = 1.0, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(layer_decay)
        if not isinstance(betas, Sequence) or len(betas) != 2 or not all(0 <= float(beta) < 1 for beta in betas):
            raise ValueError(
                f"betas must be two numbers >= 0 and < 1, but are {betas}; the usual ones are [0.9, 0.999]"
            )
        if not float(eps) > 0:
            raise ValueError(f"eps must be > 0, but is {eps}; the usual one is 1.0e-8")
        self._betas, self._eps = (float(betas[0]), float(betas[1])), float(eps)

    def build(
        self, network: TwoHeadNetwork, hyperparameters: Hyperparameters, training: TrainingSettings
    ) -> torch.optim.Optimizer:
        groups, decay = self.groups(network, hyperparameters), hyperparameters.read(WEIGHT_DECAY)
        fused = self.may_fuse(network)
        optimizer = torch.optim.AdamW(groups, betas=self._betas, eps=self._eps, weight_decay=decay, fused=fused)
        take_any_gradient(optimizer)
        return optimizer
