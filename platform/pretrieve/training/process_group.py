"""The processes that train one network together: each one's share of a batch, and means over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that share each batch of a training, seen from the one with this `rank`, counted from 0.

    Each process has an equal part of every batch. A single one needs no torch process group.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> ProcessGroup:
        """Return torch's process group of this process, or a group of one if there is none."""
        if not distributed.is_available() or not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process scores, reports and writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Return this process's rows of a batch of `count` images, a multiple of `size`.

        >>> ProcessGroup(rank=1, size=2).part(8)
        slice(4, 8, None)
        """
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor over all processes; all of them must call it."""
        if self.size == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.size

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            # A reduction instead of a barrier: it works on every backend without naming a device.
            self.mean(torch.zeros(1, device="cuda" if torch.cuda.is_available() else "cpu"))


ALONE = ProcessGroup()
"""The group of a training in one process."""
