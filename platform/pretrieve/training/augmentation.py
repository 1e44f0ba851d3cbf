"""Crops, flips and normalisation in batches, on the device that trains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.backbones import Preprocessing
from pretrieve.training.settings import AugmentationSettings


def to_unit_range(images: Tensor, device: torch.device) -> Tensor:
    """Turn (B, S, S, 3) uint8 images into (B, 3, S, S) float32 in [0, 1] on `device`."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float().div_(255)


def training_view(
    images: Tensor, preprocessing: Preprocessing, settings: AugmentationSettings, generator: torch.Generator
) -> Tensor:
    """Crop, resize and flip each image in its own random way, then normalise.

    Args:
      images: (B, 3, R, R) float32 in [0, 1].
      preprocessing: side of the result and normalisation.
      settings: bounds of the crops.
      generator: on the CPU, so that the draws do not depend on the device.

    Returns:
      (B, 3, image_size, image_size) float32.
    """
    transform = _crop_transforms(len(images), settings, generator).to(images.device)
    size = preprocessing.image_size
    grid = F.affine_grid(transform, [len(images), 3, size, size], align_corners=False)
    cropped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _normalise(cropped, preprocessing)


def _crop_transforms(count: int, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """Draw (count, 2, 3) affine maps from output to input coordinates in [-1, 1], one crop an image."""
    uniform = torch.rand((5, count), generator=generator)
    low, high = settings.crop_area
    area = low + (high - low) * uniform[0]
    log_low, log_high = (math.log(bound) for bound in settings.crop_aspect)
    aspect = torch.exp(log_low + (log_high - log_low) * uniform[1])
    width = torch.sqrt(area * aspect).clamp(max=1)
    height = torch.sqrt(area / aspect).clamp(max=1)
    mirrored = (uniform[4] < 0.5) & settings.flip
    transform = torch.zeros((count, 2, 3))
    transform[:, 0, 0] = torch.where(mirrored, -width, width)
    transform[:, 1, 1] = height
    transform[:, 0, 2] = (2 * uniform[2] - 1) * (1 - width)
    transform[:, 1, 2] = (2 * uniform[3] - 1) * (1 - height)
    return transform


def evaluation_view(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Crop the centre and normalise.

    Args:
      images: (B, 3, R, R) float32 in [0, 1], R ≥ image_size.
      preprocessing: side of the result and normalisation.

    Returns:
      (B, 3, image_size, image_size) float32.
    """
    size = preprocessing.image_size
    offset = (images.shape[-1] - size) // 2
    return _normalise(images[..., offset : offset + size, offset : offset + size], preprocessing)


def _normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    return (images - _per_channel(preprocessing.mean, images)) / _per_channel(preprocessing.std, images)


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
