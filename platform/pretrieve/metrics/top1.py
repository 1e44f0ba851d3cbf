"""The share of the images that are classified correctly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics._base import Metric


class Top1(Metric):
    """Count the images whose class is predicted correctly, divided by the number of images.

    >>> Top1().compute(np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]), np.array([0, 0, 0, 1]))
    0.75
    """

    name = "top1"
    label = "top-1 accuracy"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return float((logits.argmax(axis=1) == labels).mean())
