from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from pretrieve.backbones import Preprocessing
from pretrieve.training.augmentation import _crop_transforms, evaluation_view, to_unit_range, training_view
from pretrieve.training.settings import AugmentationSettings

PLAIN = Preprocessing(resize_size=16, image_size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
WHOLE = AugmentationSettings(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=False)


def pictures(count: int, size: int = 16) -> torch.Tensor:
    return torch.rand((count, 3, size, size), generator=torch.Generator().manual_seed(0))


def test_the_whole_image_without_flip_is_the_image() -> None:
    images = pictures(4)
    view = training_view(images, PLAIN, WHOLE, torch.Generator().manual_seed(0))
    torch.testing.assert_close(view, images, atol=1e-6, rtol=0)


def test_half_the_images_are_mirrored() -> None:
    images = pictures(400)
    flips = WHOLE.model_copy(update={"flip": True})
    view = training_view(images, PLAIN, flips, torch.Generator().manual_seed(0))
    mirrored = [bool(torch.allclose(out, image.flip(-1), atol=1e-5)) for out, image in zip(view, images, strict=True)]
    unchanged = [bool(torch.allclose(out, image, atol=1e-5)) for out, image in zip(view, images, strict=True)]
    assert sum(mirrored) + sum(unchanged) == 400
    assert 160 < sum(mirrored) < 240


def test_crops_keep_the_area_and_aspect_asked_for_and_stay_inside() -> None:
    settings = AugmentationSettings(crop_area=(0.25, 0.5), crop_aspect=(0.8, 1.25), flip=False)
    transform = _crop_transforms(2_000, settings, torch.Generator().manual_seed(0))
    width, height = transform[:, 0, 0], transform[:, 1, 1]
    area = width * height
    assert 0.2499 < float(area.min()) < 0.27
    assert 0.48 < float(area.max()) < 0.5001
    assert 0.79 < float((width / height).min()) < float((width / height).max()) < 1.26
    assert bool((transform[:, 0, 2].abs() + width <= 1 + 1e-6).all())
    assert bool((transform[:, 1, 2].abs() + height <= 1 + 1e-6).all())


def test_each_image_has_its_own_crop_and_the_generator_decides_it() -> None:
    images = pictures(1).repeat(8, 1, 1, 1)
    views = [
        training_view(images, PLAIN, AugmentationSettings(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert views[0].equal(views[1])
    assert not views[0].equal(views[2])
    assert not torch.allclose(views[0][0], views[0][1])


def test_evaluation_crops_the_centre_and_normalises() -> None:
    preprocessing = Preprocessing(resize_size=16, image_size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    images = pictures(2)
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


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="first bound must not exceed the second"):
        AugmentationSettings(crop_area=(0.9, 0.1))
