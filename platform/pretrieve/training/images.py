"""What the loop needs of labelled images, wherever they are kept."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class LabelledImages(Protocol):
    """N square images of one size with their labels."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
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

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._labels

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at `indices`."""
        return torch.from_numpy(self._images[indices.numpy()])

    def __len__(self) -> int:
        return len(self._images)
