"""The exponential moving average of a training's weights (`training.weight_average`), which is scored and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """The average of the weights of a network after each step.

    After step t it is Σ_s d^(t−s) θ_s / Σ_s d^(t−s) over the steps s = 1 … t, where d is the decay. The denominator
    corrects the bias as Adam does that of its moments (Kingma and Ba 2015): the weights before the first step are no
    part of it, so that it suits trainings of few steps as well. Averaged are all parameters that learn. Buffers are
    not: the network has the latest statistics of its batch norm.

    Args:
      network: whose `requires_grad` says which parameters learn.
      decay: d, in (0, 1): how much the weights of a step count, divided by those of the next one.

    Attributes:
      state: the averaged weights by name, and the number of steps: what a checkpoint holds, and restores in place.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
        self._averaged = {name: each.detach().clone() for name, each in self._trained.items()}
        self._num_steps = torch.zeros((), dtype=torch.int64)
        self.state = {"num_steps": self._num_steps, **self._averaged}

    def add(self) -> None:
        """Take in the weights after another step."""
        self._num_steps += 1
        power = self._decay ** int(self._num_steps)
        average_in = get_ema_multi_avg_fn((self._decay - power) / (1 - power))
        average_in(list(self._averaged.values()), list(self._trained.values()), self._num_steps)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the network the averaged weights within the block."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Exchange the weights of the network and their average."""
        for name, weights in self._trained.items():
            trained = weights.clone()
            weights.copy_(self._averaged[name])
            self._averaged[name].copy_(trained)
