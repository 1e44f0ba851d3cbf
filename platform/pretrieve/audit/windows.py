"""Square parts of square images, and their pixels at a smaller size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in JPEG and Pillow."""


class Window(NamedTuple):
    """A square part of a square image, in fractions of its side: side in (0, 1], top and left in [0, 1 − side]."""

    side: float
    top: float
    left: float


WHOLE = Window(1.0, 0.0, 0.0)


def window_grid(smallest_side: float, step: float) -> tuple[Window, ...]:
    """List windows so that every window of at least `smallest_side`, in (0, 1], is near one of them.

    The whole image comes first, then smaller and smaller windows, those of each side evenly spaced. `step` > 0 is the
    difference between neighbouring sides, and about that between neighbouring positions.

    >>> len(window_grid(0.9, 0.05))
    14
    """
    windows = []
    for number in range(round((1 - smallest_side) / step) + 1):
        side = 1 - number * step
        starts = np.linspace(0, 1 - side, number + 1).tolist()
        windows += [Window(side, top, left) for top in starts for left in starts]
    return tuple(windows)


def averaging_matrices(size: int, starts: NDArray[np.float64], sides: NDArray[np.float64], num_cells: int) -> Floats:
    """Return matrices that average the pixels of an interval of a line into equal cells.

    The line has `size` pixels. `starts` and `sides`, (B,), are the start and the length of each interval as fractions
    of the line. The result is (B, num_cells, size) float32, and its rows sum to 1; partly covered pixels count partly.
    """
    edges = (starts[:, None] + sides[:, None] * np.linspace(0, 1, num_cells + 1)) * size
    pixels = np.arange(size)
    overlap = (np.minimum(edges[:, 1:, None], pixels + 1) - np.maximum(edges[:, :-1, None], pixels)).clip(0)
    matrices: Floats = (overlap / overlap.sum(axis=2, keepdims=True)).astype(np.float32)
    return matrices


def window_matrices(size: int, window: Window, num_cells: int) -> tuple[Floats, Floats]:
    """Return the (num_cells, size) matrices that average a window's rows and columns: M_rows · image · M_columnsᵀ."""
    both = averaging_matrices(size, np.array([window.top, window.left]), np.full(2, window.side), num_cells)
    return both[0], both[1]


def to_grey(images: NDArray[np.uint8] | Floats) -> Floats:
    """Return the (N, H, W) float32 brightness, 0 … 255, of (N, H, W, 3) images."""
    grey: Floats = images.astype(np.float32) @ GREY_WEIGHTS
    return grey
