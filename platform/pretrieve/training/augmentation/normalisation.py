"""From 8-bit pixels to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Compute (x / 255 − mean) / std of each channel in one step.

    Args:
      images: (B, 3, S, S) uint8; fastest where its channels lie together in memory (`torch.channels_last`).
      preprocessing: whose mean and standard deviation.

    Returns:
      (B, 3, S, S) float32 in `torch.channels_last`, in which convolutions are fastest.
    """
    count, channels, height, width = images.shape
    std = torch.tensor(preprocessing.std, dtype=torch.float64)
    # Not waited for: a GPU would first have to finish all steps before.
    factor = (1 / (255 * std)).float().to(images.device, non_blocking=True)
    shift = (-torch.tensor(preprocessing.mean, dtype=torch.float64) / std).float().to(images.device, non_blocking=True)
    # Rows of a whole image line, because vector instructions stand idle on rows of three.
    lines = images.permute(0, 2, 3, 1).reshape(count, height, width * channels).float()
    lines.mul_(factor.repeat(width)).add_(shift.repeat(width))
    return lines.view(count, height, width, channels).permute(0, 3, 1, 2)


def to_unit_range(images: Tensor, device: torch.device) -> Tensor:
    """Turn (B, S, S, 3) uint8 images into (B, 3, S, S) float32 in [0, 1] on `device`."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float().div_(255)


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
    centre = images[..., offset : offset + size, offset : offset + size]
    return (centre - _per_channel(preprocessing.mean, images)) / _per_channel(preprocessing.std, images)


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
