"""What the loop needs of labelled images, wherever they are kept."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class LabelledImages(Protocol):
    """N square images of one size with their labels; a square may hold a whole picture, squeezed."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        ...

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, > 0: width by height of the picture that was squeezed into each square; 1 where none was."""
        ...

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) int64 `indices`."""
        ...

    def __len__(self) -> int: ...


class ArrayImages:
    """Labelled images held in one array.

    Args:
      images: (N, S, S, 3) uint8.
      labels: (N,) integers.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._images = images
        self._labels = torch.as_tensor(np.asarray(labels, dtype=np.int64))
        self._aspects = torch.ones(len(images))

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._labels

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, all 1."""
        return self._aspects

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at `indices`."""
        return torch.from_numpy(self._images[indices.numpy()])

    def __len__(self) -> int:
        return len(self._images)
