import numpy as np
import pytest

from pretrieve.demo.characters import Distortions, render_characters, render_class
from pretrieve.demo.fonts import SOURCE_FONTS, Font
from pretrieve.errors import ImageSetError

SANS = Font("DejaVuSans.ttf")
NO_DISTORTION = Distortions(
    rotation_rad=0,
    shear=0,
    log_scale=0,
    log_aspect=0,
    shift=0,
    warp=0,
    thinning=0,
    thickening=0,
    min_contrast=1,
    blur=0,
    noise=0,
)


def _ink(image):
    """Turn either polarity into 1 ink, 0 paper, taking the corner for paper."""
    light = image.astype(float) / 255
    return 1 - light if light[0, 0] > 0.5 else light


def test_images_and_labels_have_the_promised_shapes_types_and_order():
    images, labels = render_characters("Aж7", SOURCE_FONTS, num_images_per_class=4, image_size=24, seed=0)
    assert images.shape == (12, 24, 24)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_images():
    first, again, other = (
        render_characters("Aж", SOURCE_FONTS, num_images_per_class=8, seed=seed)[0] for seed in (5, 5, 6)
    )
    assert first.tobytes() == again.tobytes()
    assert not (first == other).all(axis=(1, 2)).any()


def test_further_characters_and_further_images_change_no_image():
    # Odd counts: vectorised arithmetic must not depend on where in a batch an image stands.
    alone = render_class("ж", SOURCE_FONTS, num_images=5, seed=3)
    images, labels = render_characters("Aж→", SOURCE_FONTS, num_images_per_class=37, seed=3)
    assert images[labels == 1][:5].tobytes() == alone.tobytes()


def test_images_of_a_class_differ_from_each_other():
    images = render_class("A", SOURCE_FONTS, num_images=100, seed=0)
    assert len(np.unique(images.reshape(100, -1), axis=0)) == 100


def test_without_distortions_the_picture_is_the_fonts_glyph_in_the_middle():
    images = render_class("H", [SANS], num_images=8, seed=0, distortions=NO_DISTORTION)
    inks = np.stack([_ink(image) for image in images])
    assert np.ptp(inks, axis=0).max() <= 1 / 255
    rows = np.flatnonzero(inks[0].max(axis=1) > 0.5)
    columns = np.flatnonzero(inks[0].max(axis=0) > 0.5)
    assert rows.sum() / len(rows) == pytest.approx(15.5, abs=0.5)
    assert columns.sum() / len(columns) == pytest.approx(15.5, abs=0.5)
    assert len(rows) == pytest.approx(0.56 * 32, abs=1)
    # An H: two stems that are full at every height, and a bar between them at mid-height only.
    assert inks[0][rows[2], 15] < 0.1
    assert inks[0][15:17, 15].max() > 0.9


def test_both_polarities_occur():
    images = render_class("A", [SANS], num_images=40, seed=0, distortions=NO_DISTORTION)
    light_paper = (images[:, 0, 0] > 127).mean()
    assert 0.2 < light_paper < 0.8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation_rad", 0.3),
        ("shear", 0.3),
        ("log_scale", 0.3),
        ("log_aspect", 0.3),
        ("shift", 0.1),
        ("warp", 0.1),
        ("thinning", 0.02),
        ("thickening", 0.04),
        ("blur", 0.3),
        ("noise", 0.2),
    ],
)
def test_each_distortion_changes_the_images_on_its_own(name, value):
    settings = Distortions(**{**vars(NO_DISTORTION), name: value})
    plain = render_class("R", [SANS], num_images=6, seed=0, distortions=NO_DISTORTION)
    distorted = render_class("R", [SANS], num_images=6, seed=0, distortions=settings)
    assert np.abs(plain.astype(int) - distorted).max(axis=(1, 2)).min() > 3


def test_thicker_strokes_have_more_ink_and_thinner_strokes_less():
    def ink(**change):
        settings = Distortions(**{**vars(NO_DISTORTION), **change})
        return sum(_ink(image).sum() for image in render_class("R", [SANS], num_images=8, seed=0, distortions=settings))

    assert ink(thinning=0.02) < ink() < ink(thickening=0.04)


def test_enlargement_keeps_the_shape_and_the_middle():
    settings = Distortions(**{**vars(NO_DISTORTION), "log_scale": 0.3})
    images = render_class("■", [SANS], num_images=20, seed=0, distortions=settings)
    areas = np.array([_ink(image).sum() for image in images]) / (0.56 * 32) ** 2
    assert areas.min() >= np.exp(-0.6) * 0.9
    assert areas.max() <= np.exp(0.6) * 1.1
    assert np.ptp(areas) > 0.5


def test_a_character_in_none_of_the_fonts_is_refused():
    with pytest.raises(ImageSetError, match=r"U\+10FFFD is in none of .*cmtt10\.ttf"):
        render_characters(["A", "\U0010fffd"], SOURCE_FONTS, num_images_per_class=1, seed=0)
