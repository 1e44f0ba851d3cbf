"""Small image sets that tests make."""

from __future__ import annotations

from typing import Any

import numpy as np

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.image_set import ImageSet


def coloured_set(name: str, num_classes: int, *, per_class: int, num_test: int, seed: int) -> ImageSet:
    """Noise images whose classes differ in colour."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (num_classes, 3))

    def split(count: int) -> tuple[Any, Any]:
        labels = np.repeat(np.arange(num_classes), count)
        pixels = colours[labels][:, None, None, :] + rng.integers(0, 56, (len(labels), 32, 32, 3))
        return pixels.astype(np.uint8), labels

    splits = {"train": split(per_class)} | ({"test": split(num_test)} if num_test else {})
    return image_set_from_arrays(name, [f"{name} class {k}" for k in range(num_classes)], splits)
