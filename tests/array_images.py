"""Labelled images held in one array, for tests of training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
