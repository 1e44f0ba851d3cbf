import numpy as np
import pytest

from pretrieve.audit.calibration import likeness
from pretrieve.audit.known_copies import ALTERATIONS, alter, cropped
from pretrieve.audit.verification import align

GRID = {"smallest_side": 0.85, "step": 0.05}


@pytest.mark.parametrize("name", list(ALTERATIONS))
def test_known_copies_fit_and_are_called_by_their_kind(make_pictures, name):
    images = make_pictures(8, seed=8)
    fits = align(alter(images, name, np.random.default_rng(0)), images, **GRID)
    assert likeness(fits).min() > 0.6
    words = [word for word in ("cropped", "mirrored") if word in name]
    assert {fits.kind(pair) for pair in range(8)} == {" and ".join(words) or "same"}


def test_different_pictures_do_not_fit(make_pictures):
    fits = align(make_pictures(30, seed=9), make_pictures(30, seed=10), **GRID)
    assert likeness(fits).max() < 0.4


def test_the_window_of_a_crop_is_found(make_pictures):
    image = make_pictures(1, seed=11)[0]
    rng = np.random.default_rng(3)
    left, top = (np.random.default_rng(3).random(2) * 0.1).tolist()
    fits = align(cropped(image, rng)[None], image[None], **GRID)
    np.testing.assert_allclose(fits.windows[0], [0.9, top, left], atol=0.02)
    assert fits.source_is_part[0]
    reverse = align(image[None], cropped(image, np.random.default_rng(3))[None], **GRID)
    assert not reverse.source_is_part[0]


def test_colours_take_from_the_likeness(make_pictures):
    images = make_pictures(4, seed=12)
    other_colours = images[..., [2, 0, 1]]
    fits = align(other_colours, images, **GRID)
    assert (fits.colour_errors > 20).all()
    assert (likeness(fits) < likeness(align(images, images, **GRID)) - 0.1).all()


def test_blank_images_show_nothing():
    blank = np.full((2, 64, 64, 3), 255, dtype=np.uint8)
    fits = align(blank, blank, **GRID)
    assert fits.correlations.tolist() == fits.details.tolist() == [0, 0]
    assert likeness(fits).tolist() == [0, 0]


def test_fine_textures_fit_although_they_are_blank_when_small(rng):
    stripes = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    noise = rng.integers(0, 40, stripes.shape, dtype=np.uint8)
    textures = stripes // 2 + np.repeat(np.repeat(noise[:, ::2, ::2], 2, axis=1), 2, axis=2)
    fits = align(textures, textures, **GRID)
    assert likeness(fits)[0] > 0.95
    assert fits.kind(0) == "same"


def test_a_pairs_fit_depends_on_no_other_pair(make_pictures):
    first, second = make_pictures(6, seed=13), make_pictures(6, seed=14)
    together = align(first, second, **GRID)
    alone = [align(first[row : row + 1], second[row : row + 1], **GRID) for row in range(6)]
    for name in ("correlations", "details", "colour_errors", "windows", "source_is_part", "is_mirrored"):
        np.testing.assert_array_equal(getattr(together, name), np.concatenate([getattr(fit, name) for fit in alone]))


def test_no_pairs_are_no_fits():
    assert len(align(*(np.empty((2, 0, 64, 64, 3), dtype=np.uint8)), **GRID).correlations) == 0
