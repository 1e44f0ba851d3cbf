"""A problem of four groups with known answers, and the real birds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Sides = tuple[NDArray[np.float64], NDArray[np.float64]]


def _directions(*degrees: float) -> NDArray[np.float64]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture
def lonely_class() -> Sides:
    """Two target classes with four groups around them, 0 to 3, and one class with a single group, 4, that is not near.

    Where the cost is sharp the lonely class must find its home and group 4 comes first; where it is blunt the mean
    distance decides, and group 4 comes after the four.
    """
    return _directions(1, 2, 3, 4, 62, 170), _directions(0, 3, 80)


@pytest.fixture(scope="session")
def birds(shared: Path) -> Callable[[str], Sides]:
    """Real centroids of ImageNet-1k and of CUB, by backbone."""

    def load(backbone: str) -> Sides:
        folder = shared / "class_means" / backbone
        with np.load(folder / "imagenet.npz") as source, np.load(folder / "cub.npz") as target:
            return source["means"], target["means"]

    return load
