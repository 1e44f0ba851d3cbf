"""RandAugment: a few random operations on each image, with torchvision's set, strengths and kernels, on batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pretrieve.training.augmentation.crops import RowsOfDraws

NUM_MAGNITUDES = 31
"""Magnitudes run from 0 to 30, as in torchvision."""


@dataclass(frozen=True)
class Operation:
    """One operation of RandAugment.

    Attributes:
      strength: (magnitude in [0, 30], side in pixels) → second argument of `apply`.
      apply: (N, 3, S, S) uint8 and a strength → the same shape and dtype.
      is_signed: whether half of the images take −strength.
      moves_pixels: whether it is geometric: each pixel gets the value of another one, or black.
    """

    strength: Callable[[int, int], float]
    apply: Callable[[Tensor, float], Tensor]
    is_signed: bool = False
    moves_pixels: bool = False


def _kernel(name: str) -> Callable[..., Tensor]:
    """Return a kernel of torchvision. It is imported late: that takes a second or two, and weak views need none."""
    from torchvision.transforms.v2 import functional

    kernel: Callable[..., Tensor] = getattr(functional, name)
    return kernel


def _up_to(largest: float, magnitude: int) -> float:
    # Torchvision's own steps: rounding the same numbers differently would change single grey levels.
    return float(torch.linspace(0.0, largest, NUM_MAGNITUDES)[magnitude])


def _slope(magnitude: int, side: int) -> float:
    return math.degrees(math.atan(_up_to(0.3, magnitude)))


def _shift(magnitude: int, side: int) -> float:
    return int(_up_to(150 / 331 * side, magnitude))


def _colour(kernel: str) -> Operation:
    return Operation(lambda m, _: _up_to(0.9, m), lambda images, s: _kernel(kernel)(images, 1 + s), is_signed=True)


def _affine(images: Tensor, *, shift: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    # Shears are centred on the corner; for shifts the centre makes no difference.
    return _kernel("affine")(images, angle=0.0, translate=list(shift), scale=1.0, shear=list(shear), center=[0, 0])


OPERATIONS: dict[str, Operation] = {
    "Identity": Operation(lambda *_: 0.0, lambda images, _: images),
    "ShearX": Operation(_slope, lambda images, s: _affine(images, shear=(s, 0.0)), True, True),
    "ShearY": Operation(_slope, lambda images, s: _affine(images, shear=(0.0, s)), True, True),
    "TranslateX": Operation(_shift, lambda images, s: _affine(images, shift=(int(s), 0)), True, True),
    "TranslateY": Operation(_shift, lambda images, s: _affine(images, shift=(0, int(s))), True, True),
    "Rotate": Operation(lambda m, _: _up_to(30.0, m), lambda images, s: _kernel("rotate")(images, s), True, True),
    "Brightness": _colour("adjust_brightness"),
    "Color": _colour("adjust_saturation"),
    "Contrast": _colour("adjust_contrast"),
    "Sharpness": _colour("adjust_sharpness"),
    "Posterize": Operation(
        lambda m, _: round(8 - 4 * m / (NUM_MAGNITUDES - 1)), lambda images, s: _kernel("posterize")(images, int(s))
    ),
    "Solarize": Operation(
        lambda m, _: 255 * float(torch.linspace(1.0, 0.0, NUM_MAGNITUDES)[m]),
        lambda images, s: _kernel("solarize")(images, s),
    ),
    "AutoContrast": Operation(lambda *_: 0.0, lambda images, _: _kernel("autocontrast")(images)),
    "Equalize": Operation(lambda *_: 0.0, lambda images, _: _kernel("equalize")(images)),
}
"""In torchvision's order."""


def apply_operation(images: Tensor, name: str, magnitude: int, *, negative: bool) -> Tensor:
    """Apply the operation `name` with a magnitude in [0, 30] to (N, 3, S, S) uint8 images.

    `negative` gives a signed operation the strength −strength; others ignore it.
    """
    operation, side = OPERATIONS[name], images.shape[-1]
    strength = operation.strength(magnitude, side)
    if operation.is_signed and negative:
        strength = -strength
    if operation.moves_pixels:
        black_and_pixels = torch.nn.functional.pad(images.flatten(2), (1, 0))
        origins = _origins(name, strength, side, images.device)
        return black_and_pixels.gather(2, origins.expand(*images.shape[:2], -1)).view_as(images)
    return operation.apply(images, strength)


@lru_cache(maxsize=64)
def _origins(name: str, strength: float, side: int, device: torch.device) -> Tensor:
    """Return for each pixel of a geometric operation where it comes from: 1 + that pixel's number, or 0 for black.

    It is the same for all images and, computed on the CPU, the same on all devices.
    """
    numbers = torch.arange(1, side * side + 1, dtype=torch.float32).view(1, 1, side, side)
    return OPERATIONS[name].apply(numbers, strength).long().flatten().to(device)


@dataclass(frozen=True)
class OperationDraws(RowsOfDraws):
    """The operations that each image passes, in order: (B, num_ops) int64 positions in `OPERATIONS`.

    `negative`, (B, num_ops) bool, says whether a signed operation takes −strength.
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
    names = list(OPERATIONS)
    for operations, negative in zip(draws.operations.T, draws.negative.T, strict=True):
        codes = 2 * operations + negative
        order = codes.argsort(stable=True)
        present, counts = torch.unique_consecutive(codes[order], return_counts=True)
        groups = images[order.to(images.device, non_blocking=True)].split(counts.tolist())
        done = [
            apply_operation(group, names[code // 2], magnitude, negative=bool(code % 2))
            for code, group in zip(present.tolist(), groups, strict=True)
        ]
        images = torch.cat(done)[order.argsort().to(images.device, non_blocking=True)]
    return images
