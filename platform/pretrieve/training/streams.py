"""Which images each step sees, as pure functions of the seed and the step, so that a resumed trial needs no state."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Count the whole batches of one pass over the target; the last partial batch is dropped (section 4.1).

    >>> steps_per_epoch(5994, 256)
    23
    """
    return num_images // batch_size


def target_order(num_images: int, *, seed: int, epoch: int) -> Tensor:
    """Shuffle the target's training images for one epoch.

    Returns:
      (num_images,) int64, a permutation.
    """
    return _permutation(num_images, derived_seed(seed, "target_epoch", epoch))


def source_batch(num_images: int, *, batch_size: int, seed: int, step: int) -> Tensor:
    """Take the batch of one step from the endless source stream of whole, reshuffled passes.

    Step s covers positions [s·B, (s+1)·B) of the passes laid end to end; a batch may run into the next pass.

    Returns:
      (batch_size,) int64 in [0, num_images).
    """
    start = step * batch_size
    parts = []
    while start < (step + 1) * batch_size:
        number, offset = divmod(start, num_images)
        order = _source_pass(num_images, derived_seed(seed, "source_pass", number))
        part = order[offset : offset + (step + 1) * batch_size - start]
        parts.append(part)
        start += len(part)
    return torch.cat(parts)


def _permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


# A pass serves many steps; two are enough for a batch that runs from one into the next.
_source_pass = lru_cache(maxsize=2)(_permutation)
