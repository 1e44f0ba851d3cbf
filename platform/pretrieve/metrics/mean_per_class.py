"""The accuracy of each class, averaged over the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics._base import Metric


class MeanPerClass(Metric):
    """Average the accuracies of the classes that have an image, so that each class weighs the same.

    >>> MeanPerClass().compute(np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]), np.array([0, 0, 0, 1]))
    0.5
    """

    name = "mean_per_class"
    label = "mean accuracy per class"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        import torch  # late: it loads slowly, and labels of metrics are shown without it

        num_images = np.bincount(labels)
        num_correct = np.bincount(labels[logits.argmax(axis=1) == labels], minlength=len(num_images))
        shares = (num_correct / np.maximum(num_images, 1))[num_images > 0]
        # NumPy adds in another order, and the last bit of scores on record would change.
        return float(torch.from_numpy(shares).mean())
