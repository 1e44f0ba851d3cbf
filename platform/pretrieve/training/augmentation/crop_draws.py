"""Random crops and flips: which part of each image a view shows, and which views are mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
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

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

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
    uniform position among those where it fits. `aspect`, (B,) float64 > 0, is width / height of the originals whose
    whole content the squares show. Proportions are those of the original, so a crop of a squeezed image shows what the
    same crop of the original would. Each image takes the same number of values of the generator, whatever the settings.

    A square quarter of an original four times as wide as high:

    >>> settings = AugmentationSettings(crop_area=(0.25, 0.25), crop_aspect=(1.0, 1.0))
    >>> wide = torch.tensor([4.0], dtype=torch.float64)
    >>> draw_crops(wide, side=64, settings=settings, generator=torch.Generator()).boxes[0, 2:]
    tensor([16, 64])
    """
    count = len(aspect)
    uniform = torch.rand((count, 2 * NUM_TRIES + 3), generator=generator, dtype=torch.float64).T
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
