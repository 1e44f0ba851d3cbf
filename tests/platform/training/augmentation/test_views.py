from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import v2

from pretrieve.backbones import Preprocessing
from pretrieve.training.augmentation.crops import NUM_TRIES, Crops, draw_crops, take_crops
from pretrieve.training.augmentation.rand_augment import NUM_MAGNITUDES, OPERATIONS, apply_operation
from pretrieve.training.augmentation.views import (
    StrongDraws,
    central_view,
    cut_out,
    draw_strong_view,
    evaluation_view,
    normalise,
    strong_view,
    to_unit_range,
    weak_view,
)
from pretrieve.training.settings import AugmentationSettings

SIDE = 24
COLOURED = Preprocessing(resize_size=SIDE, image_size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
PLAIN = Preprocessing(resize_size=SIDE, image_size=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
WHOLE = AugmentationSettings(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=False)
BATCHED = AugmentationSettings()


def stored_images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def weak_draws(
    count: int, settings: AugmentationSettings = BATCHED, seed: int = 0, aspect: Tensor | None = None
) -> Crops:
    generator = torch.Generator().manual_seed(seed)
    aspect = torch.ones(count) if aspect is None else aspect
    return draw_crops(aspect, side=SIDE, settings=settings, generator=generator)


def strong_draws(count: int, settings: AugmentationSettings = BATCHED, seed: int = 0) -> StrongDraws:
    generator = torch.Generator().manual_seed(seed)
    return draw_strong_view(torch.ones(count), side=SIDE, settings=settings, generator=generator)


def test_the_whole_image_without_flip_is_the_image() -> None:
    images = stored_images(4)
    view = weak_view(images, weak_draws(4, WHOLE), preprocessing=PLAIN)
    torch.testing.assert_close(view, images.permute(0, 3, 1, 2) / 255, atol=1e-6, rtol=0)


def test_normalising_is_dividing_by_255_and_by_the_deviation_from_the_mean() -> None:
    images = stored_images(3).permute(0, 3, 1, 2)
    expected = (images / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 2.0]).view(
        3, 1, 1
    )
    for layout in (torch.channels_last, torch.contiguous_format):
        normalised = normalise(images.contiguous(memory_format=layout), COLOURED)
        torch.testing.assert_close(normalised, expected)
        assert normalised.is_contiguous(memory_format=torch.channels_last)


def view_of(images: Tensor, draws: Crops | StrongDraws) -> Tensor:
    if isinstance(draws, Crops):
        return weak_view(images, draws, preprocessing=COLOURED)
    return strong_view(images, draws, preprocessing=COLOURED, settings=BATCHED)


def test_each_image_has_its_own_view_and_the_generator_decides_it() -> None:
    images = stored_images(1).expand(8, -1, -1, -1)
    for draw in (weak_draws, strong_draws):
        first, again, other = (view_of(images, draw(8, BATCHED, seed)) for seed in (1, 1, 2))
        assert first.shape == (8, 3, 16, 16)
        assert first.equal(again)
        assert not first.equal(other)
        assert not any(torch.allclose(one, two) for one, two in itertools.combinations(first, 2))


@pytest.mark.parametrize("rows", [slice(3, 7), torch.tensor([9, 0, 4]), torch.arange(12) % 3 == 0])
def test_a_worker_with_its_rows_makes_the_views_that_one_worker_would(rows: slice | Tensor) -> None:
    images = stored_images(12)
    weak, strong = weak_draws(12, aspect=torch.linspace(0.4, 2.5, 12)), strong_draws(12)
    assert len(weak[rows].boxes) == len(strong[rows].weak.boxes) == len(images[rows])
    for draws in (weak, strong):
        assert view_of(images[rows], draws[rows]).equal(view_of(images, draws)[rows])


def test_a_strong_view_is_crop_operations_and_cutout_one_after_the_other() -> None:
    images, draws = stored_images(30), strong_draws(30)
    view = strong_view(images, draws, preprocessing=COLOURED, settings=BATCHED)
    names = list(OPERATIONS)
    for row in range(30):
        single = take_crops(images[row : row + 1], draws.weak[row : row + 1], 16)
        for operation, negative in zip(
            draws.operations.operations[row].tolist(), draws.operations.negative[row].tolist(), strict=True
        ):
            single = apply_operation(single, names[operation], 10, negative=negative)
        expected = cut_out(normalise(single, COLOURED), draws.cutout_centres[row : row + 1], 0.5)
        torch.testing.assert_close(view[row : row + 1], expected)
    assert view.is_contiguous(memory_format=torch.channels_last)


def test_without_operations_and_cutout_a_strong_view_is_a_weak_one() -> None:
    settings = AugmentationSettings(num_ops=0, cutout_fraction=0)
    images, draws = stored_images(6), strong_draws(6, settings)
    strong = strong_view(images, draws, preprocessing=COLOURED, settings=settings)
    assert strong.equal(weak_view(images, draws.weak, preprocessing=COLOURED))


def torchvisions_views(
    images: Tensor, *, size: int, seed: int = 0, aspect: float = 1.0, is_strong: bool = False
) -> Tensor:
    """Make (B, 3, S, S) uint8 views by torchvision's own transforms, one image after the other: the reference."""
    generator = torch.Generator().manual_seed(seed)
    torch.rand((len(images), 2 * NUM_TRIES + 3), generator=generator, dtype=torch.float64)  # as many as our crops take
    seeds = torch.randint(2**62, (len(images),), generator=generator)
    steps = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]
    if is_strong:
        steps.append(v2.RandAugment(BATCHED.num_ops, BATCHED.magnitude, NUM_MAGNITUDES))
    transform = v2.Compose(steps)
    shape = [round(SIDE * max(1, 1 / aspect)), round(SIDE * max(1, aspect))]  # a squeezed image is stretched first
    planes = images.permute(0, 3, 1, 2)
    stretched = planes if aspect == 1 else v2.functional.resize(planes, shape, antialias=True)
    views = []
    with torch.random.fork_rng(devices=[]):
        for image, own_seed in zip(stretched, seeds.tolist(), strict=True):
            torch.manual_seed(own_seed)
            views.append(transform(image))
    return torch.stack(views)


@pytest.mark.parametrize("aspect", [1.0, 2.0, 1 / 3])
def test_weak_views_show_the_parts_of_the_images_that_torchvisions_do(aspect: float) -> None:
    """Pixels that say where they lie tell which part a view shows: left, right, top and bottom edge of the crop."""
    count = 300
    ramp = torch.linspace(0, 255, SIDE).round().to(torch.uint8)
    place = torch.stack(
        [ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE), torch.zeros_like(ramp.expand(SIDE, SIDE))], -1
    )
    images, aspects = place.expand(count, -1, -1, -1), torch.full((count,), aspect)
    small = Preprocessing(resize_size=SIDE, image_size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    views = (
        weak_view(images, weak_draws(count, aspect=aspects), preprocessing=small),
        torchvisions_views(images, size=8, aspect=aspect) / 255,
    )
    edges = [(view[:, 0, 0, 0], view[:, 0, 0, -1], view[:, 1, 0, 0], view[:, 1, -1, 0]) for view in views]
    for ours, theirs in zip(*edges, strict=True):
        assert ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 0.01


def test_strong_views_have_the_spread_of_torchvisions() -> None:
    images, draws = stored_images(1).expand(300, -1, -1, -1), strong_draws(300, seed=1)
    reference = normalise(torchvisions_views(images, size=SIDE, seed=1, is_strong=True), PLAIN)
    views = (
        strong_view(images, draws, preprocessing=PLAIN, settings=BATCHED),
        cut_out(reference, draws.cutout_centres, BATCHED.cutout_fraction),
    )
    statistics = [(v.mean((1, 2, 3)), v.std((1, 2, 3)), (v == 0).float().mean((1, 2, 3))) for v in views]
    for ours, theirs in zip(*statistics, strict=True):
        assert ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views() -> None:
    images, one_grey_level = stored_images(16), 1.01 / 255 / 0.25
    weak = weak_draws(16)
    on_gpu = weak_view(images.cuda(), weak, preprocessing=COLOURED)
    assert on_gpu.is_cuda
    on_cpu = weak_view(images, weak, preprocessing=COLOURED)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=one_grey_level, rtol=0)
    strong = strong_view(images.cuda(), strong_draws(16), preprocessing=COLOURED, settings=BATCHED)
    assert strong.is_cuda
    assert strong.is_contiguous(memory_format=torch.channels_last)


def test_the_central_view_of_a_square_picture_is_what_evaluation_sees() -> None:
    preprocessing = Preprocessing(resize_size=SIDE, image_size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    images = stored_images(3)
    centre = central_view(side=SIDE, preprocessing=preprocessing, aspect=torch.ones(3))
    view = weak_view(images, centre, preprocessing=preprocessing)
    torch.testing.assert_close(view, evaluation_view(to_unit_range(images, torch.device("cpu")), preprocessing))


def test_the_central_view_of_a_squeezed_picture_is_its_central_square() -> None:
    """Columns 6 to 18 of a picture twice as wide as high hold its central square; nothing beyond them is seen."""
    images = torch.zeros((1, SIDE, SIDE, 3), dtype=torch.uint8)
    images[:, :, :6], images[:, :, 18:] = 255, 255
    centre = central_view(side=SIDE, preprocessing=PLAIN, aspect=torch.tensor([2.0]))
    assert weak_view(images, centre, preprocessing=PLAIN).abs().max() == 0


def test_evaluation_crops_the_centre_and_normalises() -> None:
    preprocessing = Preprocessing(resize_size=16, image_size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    images = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    view = evaluation_view(images, preprocessing)
    expected = (images[..., 4:12, 4:12] - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.5, 0.25, 2.0]
    ).view(3, 1, 1)
    torch.testing.assert_close(view, expected)


def test_unit_range_keeps_colours_and_places() -> None:
    images = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).reshape(2, 4, 4, 3)
    unit = to_unit_range(images, torch.device("cpu"))
    assert unit.shape == (2, 3, 4, 4)
    assert float(unit[1, 2, 3, 0]) == pytest.approx(float(images[1, 3, 0, 2]) / 255)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crop_area", (0.9, 0.1), "first bound must not exceed the second"),
        ("magnitude", 31, "less than or equal to 30"),
        ("num_ops", -1, "greater than or equal to 0"),
        ("cutout_fraction", 1.5, "less than or equal to 1"),
        ("engine", "torchvision", "Extra inputs are not permitted"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AugmentationSettings.model_validate({field: value})


def test_the_defaults_are_the_papers() -> None:
    assert (BATCHED.num_ops, BATCHED.magnitude, BATCHED.cutout_fraction * 224) == (2, 10, 112)
