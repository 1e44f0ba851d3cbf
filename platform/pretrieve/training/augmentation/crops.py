"""Random crops and flips: drawn for a batch, then cut out, resized and mirrored as torchvision does it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve.training.settings import AugmentationSettings

NUM_TRIES = 10
"""As in torchvision; if no try fits, the closest central crop is taken."""

Draws = TypeVar("Draws", bound="RowsOfDraws")


class RowsOfDraws:
    """Base of frozen dataclasses whose fields all have one row per image.

    So each of several processes can draw for a whole batch and then apply only its own rows. Together they compute the
    same views as a single process.
    """

    def __getitem__(self: Draws, rows: slice | Tensor) -> Draws:
        """Return the draws of some images: a slice, or an index or boolean tensor on the CPU."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(**{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True)
class Crops(RowsOfDraws):
    """Boxes in pixels of the stored squares, (B, 4) int64, and whether each view is mirrored, (B,) bool.

    A box is left, top, width and height, and lies inside the image.
    """

    boxes: Tensor
    mirrored: Tensor


def draw_crops(aspect: Tensor, *, side: int, settings: AugmentationSettings, generator: torch.Generator) -> Crops:
    """Draw a RandomResizedCrop's box and a flip for each image, stored as a square of `side` pixels.

    The rule is torchvision's: the first of ten tries (area uniform, log aspect uniform) that fits into the image, at a
    uniform position among those where it fits. `aspect`, (B,) > 0, is width / height of the originals whose whole
    content the squares show. Proportions are those of the original, so a crop of a squeezed image shows what the same
    crop of the original would. Each image takes the same number of values of the generator, whatever the settings. The
    generator is on the CPU, so that the draws do not depend on the device.

    A square quarter of an original four times as wide as high:

    >>> settings = AugmentationSettings(crop_area=(0.25, 0.25), crop_aspect=(1.0, 1.0))
    >>> draw_crops(torch.tensor([4.0]), side=64, settings=settings, generator=torch.Generator()).boxes[0, 2:]
    tensor([16, 64])
    """
    count, aspect = len(aspect), aspect.double().cpu()
    uniform = torch.rand((count, 2 * NUM_TRIES + 3), generator=generator, dtype=torch.float64).T
    torch.randint(2**62, (count,), generator=generator)  # unused: keeps later draws as in version 0.1
    low, high = settings.crop_area
    areas = low + (high - low) * uniform[:NUM_TRIES]
    log_low, log_high = (math.log(bound) for bound in settings.crop_aspect)
    # In the stored square, a crop is squeezed by as much as its original was.
    aspects = torch.exp(log_low + (log_high - log_low) * uniform[NUM_TRIES : 2 * NUM_TRIES]) / aspect
    widths, heights = (side * torch.sqrt(areas * aspects)).round(), (side * torch.sqrt(areas / aspects)).round()
    fits = (widths > 0) & (widths <= side) & (heights > 0) & (heights <= side)
    first = fits.int().argmax(0)
    has_fit = fits.any(0)
    # The central crop cuts only what makes the image too long for the allowed aspects.
    narrowest, widest = settings.crop_aspect
    central_width = (side * (widest / aspect).clamp(max=1)).round().clamp(min=1)
    central_height = (side * (aspect / narrowest).clamp(max=1)).round().clamp(min=1)
    every = torch.arange(count)
    width = torch.where(has_fit, widths[first, every], central_width)
    height = torch.where(has_fit, heights[first, every], central_height)
    left = torch.where(has_fit, (uniform[-3] * (side - width + 1)).floor(), (side - width) // 2)
    top = torch.where(has_fit, (uniform[-2] * (side - height + 1)).floor(), (side - height) // 2)
    return Crops(torch.stack([left, top, width, height], 1).long(), (uniform[-1] < 0.5) & settings.flip)


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
