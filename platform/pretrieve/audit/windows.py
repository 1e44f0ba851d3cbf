"""Square parts of square images, and their pixels at a smaller size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Of red, green and blue in grey (ITU-R BT.601), as JPEG and Pillow have them."""


class Window(NamedTuple):
    """A square part of a square image, in fractions of its side.

    Attributes:
      side: in (0, 1].
      top: in [0, 1 − side].
      left: in [0, 1 − side].
    """

    side: float
    top: float
    left: float


WHOLE = Window(1.0, 0.0, 0.0)


def window_grid(smallest_side: float, step: float) -> tuple[Window, ...]:
    """List windows such that one of them is near any window that is not much smaller.

    Args:
      smallest_side: in (0, 1].
      step: > 0, between the sides, and about between the places, of neighbouring windows.

    Returns:
      The whole image, then smaller and smaller windows, each side at evenly spaced places.

    >>> len(window_grid(0.9, 0.05))
    14
    """
    windows = []
    for number in range(round((1 - smallest_side) / step) + 1):
        side = 1 - number * step
        places = np.linspace(0, 1 - side, number + 1).tolist()
        windows += [Window(side, top, left) for top in places for left in places]
    return tuple(windows)


def averaging_matrices(size: int, starts: NDArray[np.float64], sides: NDArray[np.float64], num_cells: int) -> Floats:
    """Make matrices that average the pixels of an interval into equal cells.

    Args:
      size: pixels of the whole line.
      starts: (B,) where each interval begins, as a fraction of the line.
      sides: (B,) its length, likewise.
      num_cells: into which it is divided.

    Returns:
      (B, num_cells, size) float32, rows sum to 1; pixels that a cell covers in part count in part.
    """
    edges = (starts[:, None] + sides[:, None] * np.linspace(0, 1, num_cells + 1)) * size
    pixels = np.arange(size)
    overlap = np.minimum(edges[:, 1:, None], pixels + 1) - np.maximum(edges[:, :-1, None], pixels)
    overlap = overlap.clip(0)
    matrices: Floats = (overlap / overlap.sum(axis=2, keepdims=True)).astype(np.float32)
    return matrices


def window_matrices(size: int, window: Window, num_cells: int) -> tuple[Floats, Floats]:
    """Return the matrices (num_cells, size) that average rows and columns of a window: M_rows · image · M_columnsᵀ."""
    both = averaging_matrices(size, np.array([window.top, window.left]), np.full(2, window.side), num_cells)
    return both[0], both[1]


def to_grey(images: NDArray[np.uint8]) -> Floats:
    """Return the (N, H, W) float32 brightness, 0 … 255, of (N, H, W, 3) images."""
    grey: Floats = images.astype(np.float32) @ GREY_WEIGHTS
    return grey
