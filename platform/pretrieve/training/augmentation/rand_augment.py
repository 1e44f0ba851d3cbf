"""RandAugment: a few random operations on each image; images with the same operation share a kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pretrieve.training.augmentation.crop_draws import RowsOfDraws
from pretrieve.training.augmentation.operations import OPERATIONS, apply_operation


@dataclass(frozen=True)
class OperationDraws(RowsOfDraws):
    """The operations that each image passes, in order.

    Attributes:
      operations: (B, num_ops) int64, positions in `OPERATIONS`.
      negative: (B, num_ops) bool, whether a signed operation takes −strength.
    """

    operations: Tensor
    negative: Tensor


def draw_operations(count: int, *, num_ops: int, generator: torch.Generator) -> OperationDraws:
    """Draw `num_ops` operations for each of `count` images, uniformly and with repetition."""
    operations = torch.randint(len(OPERATIONS), (count, num_ops), generator=generator)
    return OperationDraws(operations, torch.rand((count, num_ops), generator=generator) < 0.5)


def rand_augment(images: Tensor, draws: OperationDraws, magnitude: int) -> Tensor:
    """Apply each image's operations, with one magnitude in [0, 30] for all of them.

    `images` are (B, 3, S, S) uint8 on any device, since the operations are defined on 8 bits; the draws are on the CPU.
    Returns (B, 3, S, S) uint8.
    """
    images = images.contiguous()
    for operations, negative in zip(draws.operations.T, draws.negative.T, strict=True):
        images = _one_round(images, 2 * operations + negative, magnitude)
    return images


def _one_round(images: Tensor, codes: Tensor, magnitude: int) -> Tensor:
    order = codes.argsort(stable=True)
    present, counts = torch.unique_consecutive(codes[order], return_counts=True)
    groups = images[order.to(images.device, non_blocking=True)].split(counts.tolist())
    names = list(OPERATIONS)
    done = [
        apply_operation(group, names[code // 2], magnitude, negative=bool(code % 2))
        for code, group in zip(present.tolist(), groups, strict=True)
    ]
    return torch.cat(done)[order.argsort().to(images.device, non_blocking=True)]
