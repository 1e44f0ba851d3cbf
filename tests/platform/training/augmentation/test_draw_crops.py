from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, ks_2samp
from torchvision.transforms import RandomResizedCrop

from pretrieve.training.augmentation.crops import Crops, draw_crops
from pretrieve.training.settings import AugmentationSettings

NUM_DRAWS = 2_000
SIDE = 1_000
"""Large, so that the rounding of squeezed boxes to stored pixels is no part of the comparison."""


def draws(aspect: float, settings: AugmentationSettings, count: int = NUM_DRAWS, side: int = SIDE) -> Crops:
    aspects = torch.full((count,), aspect, dtype=torch.float64)
    return draw_crops(aspects, side=side, settings=settings, generator=torch.Generator().manual_seed(4))


def torchvision_boxes(
    width: int, height: int, settings: AugmentationSettings, count: int = NUM_DRAWS
) -> NDArray[np.float64]:
    """Return (N, 4) left, top, width, height of torchvision's crops, in shares of the image."""
    image = torch.zeros(1).expand(3, height, width)
    scale, ratio = list(settings.crop_area), list(settings.crop_aspect)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        boxes = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)])
    return boxes[:, [1, 0, 3, 2]] / [width, height, width, height]


def free_place(start: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a box stands between the one border and the other, in [0, 1], of the boxes that can stand anywhere."""
    return (start / np.maximum(1 - length, 1e-9))[length < 0.95]


@pytest.mark.parametrize("settings", [AugmentationSettings(), AugmentationSettings(crop_area=(0.3, 1.0))])
@pytest.mark.parametrize(("width", "height"), [(1_000, 1_000), (2_000, 1_000), (1_000, 3_000)])
def test_crops_of_an_original_are_distributed_as_torchvisions(
    width: int, height: int, settings: AugmentationSettings
) -> None:
    ours = draws(width / height, settings).boxes.double().numpy() / SIDE
    theirs = torchvision_boxes(width, height, settings)
    statistics = {
        "area": lambda b: b[:, 2] * b[:, 3],
        "aspect": lambda b: b[:, 2] * width / (b[:, 3] * height),
        "left": lambda b: free_place(b[:, 0], b[:, 2]),
        "top": lambda b: free_place(b[:, 1], b[:, 3]),
    }
    # The central crop is one box for many draws, so that its rounding to pixels would count like all of them.
    p_values = {name: ks_2samp(of(ours).round(2), of(theirs).round(2)).pvalue for name, of in statistics.items()}
    assert min(p_values.values()) > 0.01, p_values


def test_a_clamped_crop_would_not_pass_for_torchvisions() -> None:
    """Boxes that do not fit are drawn again, not cut off: the comparison above can tell the two."""
    settings = AugmentationSettings()
    uniform = torch.rand((2, NUM_DRAWS), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    area, aspect = 0.08 + 0.92 * uniform[0], np.exp(np.log(4 / 3) * (2 * uniform[1] - 1))
    clamped = np.minimum(1, np.sqrt(area * aspect)) * np.minimum(1, np.sqrt(area / aspect))
    theirs = torchvision_boxes(1_000, 1_000, settings)
    assert ks_2samp(clamped, theirs[:, 2] * theirs[:, 3]).pvalue < 1e-6


@pytest.mark.parametrize("side", [7, 32])
def test_small_squares_have_torchvisions_boxes_pixel_by_pixel(side: int) -> None:
    settings = AugmentationSettings()
    ours = draws(1.0, settings, side=side).boxes.numpy()
    theirs = np.rint(torchvision_boxes(side, side, settings) * side)
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.01


@pytest.mark.parametrize(("width", "height"), [(800, 200), (200, 800), (200, 200), (230, 200)])
def test_where_nothing_fits_the_crop_is_torchvisions_central_one(width: int, height: int) -> None:
    too_wide = AugmentationSettings(crop_area=(1.0, 1.0), crop_aspect=(1.2, 1.3))
    boxes = draws(width / height, too_wide, count=5, side=SIDE).boxes.double() / SIDE
    (expected,) = np.unique(torchvision_boxes(width, height, too_wide, count=5), axis=0)
    np.testing.assert_allclose(boxes.numpy(), np.tile(expected, (5, 1)), atol=0.003)


def test_boxes_lie_inside_and_keep_the_bounds() -> None:
    settings = AugmentationSettings(crop_area=(0.25, 0.5), crop_aspect=(0.8, 1.25))
    left, top, width, height = draws(1.0, settings).boxes.double().unbind(1)
    assert bool(((left >= 0) & (left + width <= SIDE) & (top >= 0) & (top + height <= SIDE)).all())
    area, aspect = width * height / SIDE**2, width / height
    assert 0.249 < float(area.min()) < 0.26
    assert 0.49 < float(area.max()) < 0.501
    assert 0.799 < float(aspect.min()) < float(aspect.max()) < 1.251


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_smallest_squares_still_have_crops(side: int) -> None:
    for aspect in (0.01, 1.0, 100.0):
        left, top, width, height = draws(aspect, AugmentationSettings(), count=100, side=side).boxes.unbind(1)
        assert bool(((width > 0) & (height > 0) & (left + width <= side) & (top + height <= side)).all())


def test_half_the_images_are_mirrored_unless_flips_are_off() -> None:
    mirrored = draws(1.0, AugmentationSettings()).mirrored
    assert binomtest(int(mirrored.sum()), NUM_DRAWS).pvalue > 0.01
    unmirrored = draws(1.0, AugmentationSettings(flip=False))
    assert not unmirrored.mirrored.any()
    assert unmirrored.boxes.equal(draws(1.0, AugmentationSettings()).boxes)


def test_each_image_has_its_own_proportions() -> None:
    square_crops = AugmentationSettings(crop_area=(0.1, 0.1), crop_aspect=(1.0, 1.0))
    aspects = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    boxes = draw_crops(aspects, side=SIDE, settings=square_crops, generator=torch.Generator().manual_seed(0)).boxes
    torch.testing.assert_close(boxes[:, 2] / boxes[:, 3], torch.tensor([1.0, 0.5, 2.0]), atol=0.01, rtol=0)
