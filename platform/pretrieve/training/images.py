"""The interface through which the loop reads labelled images, wherever they are stored."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class LabelledImages(Protocol):
    """N square images of one size with their labels; a square may hold a whole picture, squeezed."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, > 0: width / height of each square's original picture; 1 if it was not squeezed."""

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) int64 `indices`."""

    def __len__(self) -> int: ...
