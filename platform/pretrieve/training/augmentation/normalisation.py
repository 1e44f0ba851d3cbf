"""Conversion of 8-bit pixels to a network's input."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Compute (x / 255 − mean) / std of each channel of (B, 3, S, S) uint8 images in one step.

    Images in `torch.channels_last` are fastest. The result is (B, 3, S, S) float32 in `torch.channels_last`, in which
    convolutions are fastest.
    """
    count, channels, height, width = images.shape
    std = torch.tensor(preprocessing.std, dtype=torch.float64)
    # Non-blocking: a GPU would first have to finish all earlier steps.
    factor = (1 / (255 * std)).float().to(images.device, non_blocking=True)
    shift = (-torch.tensor(preprocessing.mean, dtype=torch.float64) / std).float().to(images.device, non_blocking=True)
    # Rows hold a whole image line, because rows of three values would leave vector instructions idle.
    lines = images.permute(0, 2, 3, 1).reshape(count, height, width * channels).float()
    lines.mul_(factor.repeat(width)).add_(shift.repeat(width))
    return lines.view(count, height, width, channels).permute(0, 3, 1, 2)


def to_unit_range(images: Tensor, device: torch.device) -> Tensor:
    """Turn (B, S, S, 3) uint8 images into (B, 3, S, S) float32 in [0, 1] on `device`."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float().div_(255)


def evaluation_view(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Crop the centre of (B, 3, R, R) float32 images in [0, 1], R ≥ image_size, and normalise it.

    Returns (B, 3, image_size, image_size) float32.
    """
    size = preprocessing.image_size
    offset = (images.shape[-1] - size) // 2
    centre = images[..., offset : offset + size, offset : offset + size]
    mean, std = (
        torch.tensor(values, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (centre - mean) / std
