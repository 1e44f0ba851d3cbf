"""Cropping and resizing to squares of one size, as torchvision's `resized_crop` with antialiasing does it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.training.augmentation.crop_draws import Crops


def take_crops(images: Tensor, crops: Crops, size: int) -> Tensor:
    """Cut out each image's box, resize it to a square of `size` pixels, and mirror it if its draw says so.

    `images` are stored images, (B, R, R, 3) uint8, on any device; `crops` were drawn for squares of R pixels, on the
    CPU. Returns (B, 3, size, size) uint8 in `torch.channels_last`. Devices may differ by one grey level where a value
    lies between two.
    """
    if images.device.type == "cpu":
        return take_crops_singly(images, crops, size)
    return take_crops_together(images, crops, size)


def take_crops_singly(images: Tensor, crops: Crops, size: int) -> Tensor:
    """Crop image by image with the CPU's 8-bit kernel, in a fourth (64 px) to a tenth (224 px) of the other's time."""
    planes = images.permute(0, 3, 1, 2)
    taken = torch.empty((len(images), size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    boxes: list[list[int]] = crops.boxes.tolist()
    for row, ((left, top, width, height), is_mirrored) in enumerate(zip(boxes, crops.mirrored.tolist(), strict=True)):
        box = planes[row : row + 1, :, top : top + height, left : left + width]
        square = F.interpolate(box, size=(size, size), mode="bilinear", antialias=True)
        taken[row : row + 1] = square.flip(-1) if is_mirrored else square
    return taken


def take_crops_together(images: Tensor, crops: Crops, size: int) -> Tensor:
    """Crop the whole batch by two matrix products per image, without launching a kernel per image."""
    side = images.shape[1]
    left, top, width, height = crops.boxes.to(images.device, torch.float32, non_blocking=True).unbind(1)
    mirrored = crops.mirrored.to(images.device, non_blocking=True)
    columns = _weights(left, width, side, size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    rows = _weights(top, height, side, size)
    planes = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    narrowed = planes.flatten(1, 2) @ columns.mT
    resized: Tensor = rows[:, None] @ narrowed.unflatten(1, (3, side))
    return resized.round_().clamp_(0, 255).to(torch.uint8, memory_format=torch.channels_last)


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Build (B, size, side) matrices that resize an interval of a line by a triangle filter at each new pixel's centre.

    A filter is as wide as the larger of an old and a new pixel, and is cut off at the ends of the interval.
    """
    start, length = start[:, None, None], length[:, None, None]
    scale = length / size
    old = torch.arange(side, device=start.device) + 0.5
    centres = start + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    weights: Tensor = (1 - (old - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    weights.mul_((old > start) & (old < start + length))
    return weights.div_(weights.sum(-1, keepdim=True))
