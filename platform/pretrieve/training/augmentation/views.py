"""The views of images: weak and strong for training, first drawn, then computed; and the view for prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing
from pretrieve.training.augmentation.crops import Crops, RowsOfDraws, draw_crops, take_crops
from pretrieve.training.augmentation.rand_augment import OperationDraws, draw_operations, rand_augment
from pretrieve.training.settings import AugmentationSettings


@dataclass(frozen=True)
class StrongDraws(RowsOfDraws):
    """All random draws for the strong views of B images, on the CPU: a weak view's crops and flips, and more.

    `cutout_centres`, (B, 2) float64 in [0, 1), are fractions of width and height.
    """

    weak: Crops
    operations: OperationDraws
    cutout_centres: Tensor


def central_view(*, side: int, preprocessing: Preprocessing, aspect: Tensor) -> Crops:
    """Return the crops used for prediction: the central square of each picture, without random draws.

    The stored squares have `side` pixels; image_size / resize_size is the fraction of the shorter side that is visible.
    `aspect`, (B,) > 0, is width / height of the originals, each squeezed whole into its square; 1 for centre squares.

    >>> preprocessing = Preprocessing(resize_size=8, image_size=6, mean=(0.5,) * 3, std=(0.5,) * 3)
    >>> central_view(side=8, preprocessing=preprocessing, aspect=torch.tensor([1.0, 2.0])).boxes
    tensor([[1, 1, 6, 6],
            [2, 1, 3, 6]])
    """
    proportions = aspect.double().cpu()
    seen = side * preprocessing.image_size / preprocessing.resize_size
    width = (seen / proportions.clamp(min=1)).round().clamp(min=1)
    height = (seen * proportions.clamp(max=1)).round().clamp(min=1)
    boxes = torch.stack([(side - width) // 2, (side - height) // 2, width, height], 1).long()
    return Crops(boxes, torch.zeros(len(boxes), dtype=torch.bool))


def draw_strong_view(
    aspect: Tensor, *, side: int, settings: AugmentationSettings, generator: torch.Generator
) -> StrongDraws:
    """Draw a crop, a flip, operations and a Cutout for each image; for the arguments see `draw_crops`."""
    return StrongDraws(
        draw_crops(aspect, side=side, settings=settings, generator=generator),
        draw_operations(len(aspect), num_ops=settings.num_ops, generator=generator),
        torch.rand((len(aspect), 2), generator=generator, dtype=torch.float64),
    )


def weak_view(images: Tensor, draws: Crops, *, preprocessing: Preprocessing) -> Tensor:
    """Crop, resize, flip and normalise each image according to its draws (both streams of eq. 6; x' of eq. 7).

    `images` are stored images, (B, R, R, 3) uint8 on any device; `draws` belong to them and to squares of R pixels.
    Returns (B, 3, image_size, image_size) float32 on the images' device, in `torch.channels_last`.
    """
    return normalise(take_crops(images, draws, preprocessing.image_size), preprocessing)


def strong_view(
    images: Tensor, draws: StrongDraws, *, preprocessing: Preprocessing, settings: AugmentationSettings
) -> Tensor:
    """Crop, resize, flip, RandAugment, normalise and Cutout each image according to its draws (x̃ of eq. 7).

    `settings` are those of the draws; for the rest see `weak_view`.
    """
    views = take_crops(images, draws.weak, preprocessing.image_size)
    views = rand_augment(views, draws.operations, settings.magnitude)
    return cut_out(normalise(views, preprocessing), draws.cutout_centres, settings.cutout_fraction)


def cut_out(images: Tensor, centres: Tensor, fraction: float) -> Tensor:
    """Cover a square of each image with the mean colour, in place, and return the images.

    The images are (B, 3, S, S) float32, normalised, so that the mean colour is 0. The centres are (B, 2) in [0, 1), as
    fractions of width and height; the square, whose side is `fraction` · S, is clipped at the border.

    >>> cut_out(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0.5]]), 0.5)[0, 0].long()
    tensor([[1, 1, 1, 1],
            [0, 1, 1, 1],
            [0, 1, 1, 1],
            [1, 1, 1, 1]])
    """
    size = images.shape[-1]
    length = round(fraction * size)
    first = ((centres * size).long() - length // 2).to(images.device, non_blocking=True)
    pixels = torch.arange(size, device=images.device)
    covered = (pixels >= first[..., None]) & (pixels < first[..., None] + length)
    columns, rows = covered.unbind(1)
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


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
