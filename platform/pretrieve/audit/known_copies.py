"""Copies of images as people make them: resized, cropped, re-compressed, mirrored, and several of these at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def resized(image: Pixels, fraction: float = 0.5) -> Pixels:
    """Shrink an image to a fraction of its side, and enlarge it again."""
    side = image.shape[0]
    small = max(8, round(side * fraction))
    picture = Image.fromarray(image).resize((small, small), Image.Resampling.BICUBIC)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)


def cropped(image: Pixels, rng: np.random.Generator, fraction: float = 0.9) -> Pixels:
    """Keep a fraction of the width and the height, at a random position, and resize it to the original size."""
    side = image.shape[0]
    kept = side * fraction
    left, top = (rng.random(2) * (side - kept)).tolist()
    box = (left, top, left + kept, top + kept)
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box=box)
    return np.asarray(picture, dtype=np.uint8)


def recompressed(image: Pixels, quality: int = 15) -> Pixels:
    """Save an image as a JPEG of low quality, on Pillow's scale, and read it again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def mirrored_image(image: Pixels) -> Pixels:
    """Exchange left and right."""
    return np.ascontiguousarray(image[:, ::-1])


ALTERATIONS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "resized": lambda image, rng: resized(image),
    "cropped": lambda image, rng: cropped(image, rng),
    "re-compressed": lambda image, rng: recompressed(image),
    "mirrored": lambda image, rng: mirrored_image(image),
    "cropped, re-compressed": lambda image, rng: recompressed(cropped(image, rng)),
    "mirrored, resized": lambda image, rng: mirrored_image(resized(image)),
    "cropped, mirrored": lambda image, rng: mirrored_image(cropped(image, rng)),
    "cropped, resized, mirrored, re-compressed": lambda image, rng: recompressed(
        mirrored_image(resized(cropped(image, rng)))
    ),
}
"""The known alterations by name; random ones draw from the generator."""


def alter(images: Pixels, name: str, rng: np.random.Generator) -> Pixels:
    """Alter each of (N, S, S, 3) uint8 images as ALTERATIONS[name] does; `rng` decides where crops are taken."""
    change = ALTERATIONS[name]
    return np.stack([change(image, rng) for image in images]) if len(images) else images
