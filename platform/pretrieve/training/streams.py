"""Which images each step sees: pure functions of seed and step, so that a resumed trial needs no saved state."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Count the whole batches in one pass over the target; the last partial batch is dropped (section 4.1).

    >>> steps_per_epoch(5994, 256)
    23
    """
    return num_images // batch_size


def target_order(num_images: int, *, seed: int, epoch: int) -> Tensor:
    """Return the order of the target's images in one epoch: (num_images,) int64, a permutation."""
    return _permutation(num_images, derived_seed(seed, "target_epoch", epoch))


def source_batch(num_images: int, *, batch_size: int, seed: int, step: int) -> Tensor:
    """Return one step's (batch_size,) int64 rows, in [0, num_images), of the endless source stream.

    The stream consists of whole passes over the source, each in a new order, laid end to end. Step s takes positions
    [s·B, (s+1)·B), so a batch may run into the next pass.
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


# One pass serves many steps. Two are cached for the batch that runs from one pass into the next.
_source_pass = lru_cache(maxsize=2)(_permutation)
