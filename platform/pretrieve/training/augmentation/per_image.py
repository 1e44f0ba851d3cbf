"""The same views by torchvision's own transforms, one image after the other: slower, and nothing of ours in between."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pretrieve.training.augmentation.operations import NUM_MAGNITUDES
from pretrieve.training.settings import AugmentationSettings


def transform_each(
    images: Tensor, *, seeds: Tensor, aspect: Tensor, size: int, settings: AugmentationSettings, is_strong: bool
) -> Tensor:
    """Run RandomResizedCrop, RandomHorizontalFlip and, for strong views, RandAugment on each image.

    Args:
      images: (B, R, R, 3) uint8, on any device.
      seeds: (B,) int64 ≥ 0, of torch's global generator, from which torchvision draws; it is left as it was.
      aspect: (B,) float64, width / height of the originals, to whose proportions the images are stretched first.
      size: S, side of the result in pixels.
      settings: bounds, flip, operations.
      is_strong: whether to run RandAugment.

    Returns:
      (B, 3, S, S) uint8.
    """
    transform = _transform(size, settings, is_strong=is_strong)
    views = []
    with torch.random.fork_rng(devices=[]):
        for image, seed, ratio in zip(images.permute(0, 3, 1, 2), seeds.tolist(), aspect.tolist(), strict=True):
            torch.manual_seed(seed)
            views.append(transform(_stretched(image, ratio)))
    return torch.stack(views)


def _transform(size: int, settings: AugmentationSettings, *, is_strong: bool) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2  # imported late: it takes a second or two to load, and few studies need it

    crop = v2.RandomResizedCrop(size, scale=settings.crop_area, ratio=settings.crop_aspect, antialias=True)
    steps: list[v2.Transform] = [crop, v2.RandomHorizontalFlip(0.5 if settings.flip else 0.0)]
    if is_strong:
        steps.append(v2.RandAugment(settings.num_ops, settings.magnitude, NUM_MAGNITUDES))
    composed: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return composed


def _stretched(image: Tensor, aspect: float) -> Tensor:
    """Give a squeezed image the proportions of its original, and at least as many pixels."""
    from torchvision.transforms.v2.functional import resize

    side = image.shape[-1]
    shape = [round(side * max(1, 1 / aspect)), round(side * max(1, aspect))]
    return image if shape == [side, side] else resize(image, shape, antialias=True)
