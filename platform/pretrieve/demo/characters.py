"""Draw characters with a random font, pose, stroke, contrast, blur and noise for each image.

A glyph is turned once into a signed distance field: how far each point lies inside or outside the ink. Posing a glyph
then resamples that field, and a thicker stroke is an addition. Edges come out smooth at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pretrieve.demo.fonts import Font, draw_glyph, fonts_that_draw

_FIELD_SIZE = 64
_OVERSAMPLING = 2
_GLYPH_FRACTION = 0.56  # of the picture's width; the rest is space for rotation, scale and shift
_WARP_KNOTS = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distortions:
    """How far an image may stray from the font's drawing; each is drawn uniformly and independently.

    Lengths are fractions of the picture's width, intensities fractions of the range black to white.

    Args:
      rotation_rad: largest turn either way, radians.
      shear: largest horizontal slant either way, tangent.
      log_scale: largest natural logarithm of the enlargement either way.
      log_aspect: largest natural logarithm of width over height either way.
      shift: largest move either way along each axis.
      warp: largest move either way of each knot of a coarse elastic grid.
      thinning, thickening: how far the stroke's edge may move inwards and outwards.
      min_contrast: smallest difference of ink and paper, in (0, 1]; either may be the lighter one.
      blur: largest weight of each neighbour in a three-tap blur, in [0, 1/3], applied twice along each axis.
      noise: largest standard deviation of Gaussian pixel noise.
    """

    rotation_rad: float = 0.3
    shear: float = 0.3
    log_scale: float = 0.2
    log_aspect: float = 0.2
    shift: float = 0.08
    warp: float = 0.06
    thinning: float = 0.005
    thickening: float = 0.03
    min_contrast: float = 0.3
    blur: float = 0.3
    noise: float = 0.15


def render_characters(
    characters: Sequence[str],
    fonts: Sequence[Font],
    *,
    num_images_per_class: int,
    image_size: int = 32,
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Render images of several characters, class after class; the position of a character is its label.

    An image depends on (seed, character, its number in the class, the fonts that have the character) and on nothing
    else: a further character or a further image changes no other. Each character uses those of the fonts that have it;
    one that no font has raises an ImageSetError.

    Returns:
      images (N, image_size, image_size) uint8 grey and labels (N,) int64, N = classes · num_images_per_class.
    """
    images = [
        render_class(character, fonts, num_images=num_images_per_class, image_size=image_size, seed=seed)
        for character in characters
    ]
    labels = np.repeat(np.arange(len(images), dtype=np.int64), num_images_per_class)
    return np.concatenate(images), labels


def render_class(
    character: str,
    fonts: Sequence[Font],
    *,
    num_images: int,
    image_size: int = 32,
    seed: int,
    distortions: Distortions | None = None,
) -> NDArray[np.uint8]:
    """Render (num_images, image_size, image_size) uint8 grey images of one character; see `render_characters`.

    >>> render_class("ж", [Font("DejaVuSans.ttf")], num_images=2, seed=0).shape
    (2, 32, 32)
    """
    limits = distortions or Distortions()
    usable = fonts_that_draw(character, tuple(fonts))
    # One generator an image, so that neither the size of the class nor other classes change its random numbers.
    rngs = [np.random.default_rng((seed, ord(character), number)) for number in range(num_images)]
    drawn_with = [usable[rng.integers(len(usable))] for rng in rngs]
    fields = {font: _distance_field(font, character) for font in set(drawn_with)}
    poses = np.stack([rng.uniform(-1, 1, 6) for rng in rngs])
    knots = np.stack([rng.uniform(-1, 1, (2, _WARP_KNOTS, _WARP_KNOTS)) for rng in rngs])
    inks = np.stack([rng.random(6) for rng in rngs])
    grain = np.stack([rng.standard_normal((image_size, image_size)) for rng in rngs])
    distances = _pose(np.stack([fields[font] for font in drawn_with]), poses, knots, image_size, limits)
    return _ink(distances, inks, grain, limits)


def _distance_field(font: Font, character: str) -> Floats:
    """Return (64, 64) distances to the edge of the ink, positive inside, in widths of the picture."""
    canvas_size = _FIELD_SIZE * _OVERSAMPLING
    inside = draw_glyph(font, character, canvas_size=canvas_size, longest_side=_GLYPH_FRACTION * canvas_size) > 127
    signed = distance_transform_edt(inside) - distance_transform_edt(~inside)
    cells = signed.reshape(_FIELD_SIZE, _OVERSAMPLING, _FIELD_SIZE, _OVERSAMPLING)
    field: Floats = cells.mean(axis=(1, 3)) / canvas_size
    return field


def _pose(fields: Floats, poses: Floats, knots: Floats, image_size: int, limits: Distortions) -> Floats:
    """Resample the fields at every pixel of the posed images: (N, image_size, image_size), in widths."""
    turn, shear, scale, aspect, shift_x, shift_y = (column[:, None, None] for column in poses.T)
    centres = (np.arange(image_size) + 0.5) / image_size - 0.5
    # (image_size, knots): each pixel's linear weights on the knots of the elastic grid.
    knot_of_pixel = np.linspace(0, _WARP_KNOTS - 1, image_size)[:, None]
    ramp = np.clip(1 - np.abs(knot_of_pixel - np.arange(_WARP_KNOTS)), 0, None)
    # Each image has its own matmul, so that no result depends on how many images are in the batch.
    bend = ramp @ (limits.warp * knots) @ ramp.T
    x = centres[None, None, :] - limits.shift * shift_x + bend[:, 0]
    y = centres[None, :, None] - limits.shift * shift_y + bend[:, 1]
    cos, sin = np.cos(limits.rotation_rad * turn), np.sin(limits.rotation_rad * turn)
    x, y = cos * x + sin * y, cos * y - sin * x
    x = x - limits.shear * shear * y
    enlargement = np.exp(limits.log_scale * scale)
    stretch = np.exp(limits.log_aspect * aspect / 2)
    posed: Floats = enlargement * _sample(fields, x / (enlargement * stretch), y / (enlargement / stretch))
    return posed


def _sample(fields: Floats, x: Floats, y: Floats) -> Floats:
    """Interpolate (N, 64, 64) fields at x, y, (N, S, S) in [-0.5, 0.5]; beyond, the border's value holds."""
    column, row = (np.clip((axis + 0.5) * _FIELD_SIZE - 0.5, 0, _FIELD_SIZE - 1.001) for axis in (x, y))
    left, top = column.astype(np.intp), row.astype(np.intp)
    column, row = column - left, row - top
    flat = fields.reshape(-1)
    corner = (np.arange(len(fields))[:, None, None] * _FIELD_SIZE + top) * _FIELD_SIZE + left
    upper = flat[corner] * (1 - column) + flat[corner + 1] * column
    lower = flat[corner + _FIELD_SIZE] * (1 - column) + flat[corner + _FIELD_SIZE + 1] * column
    value: Floats = upper * (1 - row) + lower * row
    return value


def _ink(distances: Floats, inks: Floats, grain: Floats, limits: Distortions) -> NDArray[np.uint8]:
    """Turn distances into grey levels: stroke, contrast of either sign, blur and noise."""
    stroke, contrast, level, polarity, blur, noise = (column[:, None, None] for column in inks.T)
    growth = -limits.thinning + (limits.thinning + limits.thickening) * stroke
    coverage = np.clip(0.5 + distances.shape[-1] * (distances + growth), 0, 1)
    contrast = limits.min_contrast + (1 - limits.min_contrast) * contrast
    dark = (1 - contrast) * level
    light = np.where(polarity < 0.5, coverage, 1 - coverage)
    picture, weight = dark + contrast * light, limits.blur * blur
    for _ in range(2):
        padded = np.pad(picture, ((0, 0), (1, 1), (0, 0)), mode="edge")
        picture = (1 - 2 * weight) * picture + weight * (padded[:, :-2] + padded[:, 2:])
        padded = np.pad(picture, ((0, 0), (0, 0), (1, 1)), mode="edge")
        picture = (1 - 2 * weight) * picture + weight * (padded[:, :, :-2] + padded[:, :, 2:])
    picture = picture + limits.noise * noise * grain
    grey: NDArray[np.uint8] = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return grey
