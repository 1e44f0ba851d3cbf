"""The workers that train one network together: which part of each batch is whose, and means over all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class World:
    """One worker's place among all; a single worker needs no process group.

    Attributes:
      rank: this worker, from 0.
      size: number of workers, each with an equal part of every batch.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """Return this process's place in its process group; alone where there is none."""
        if not distributed.is_available() or not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this worker is the one that scores, tells and writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Return this worker's rows of a batch of `count` images, a multiple of `size`.

        >>> World(rank=1, size=2).part(8)
        slice(4, 8, None)
        """
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor over all workers; all of them must call it."""
        if self.size == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.size

    def wait(self) -> None:
        """Wait until all workers are here."""
        if self.size > 1:
            # A reduction and no barrier: it works on every backend without naming a device.
            self.mean(torch.zeros(1, device="cuda" if torch.cuda.is_available() else "cpu"))


ALONE = World()
"""The world of a trial that one process trains."""
