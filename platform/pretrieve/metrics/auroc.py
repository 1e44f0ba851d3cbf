"""The area under the ROC curve of each class against all others, averaged over the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics._base import Metric, probabilities


class Auroc(Metric):
    """Average over the classes how often an image of the class gets more probability for it than another image.

    For each class that is the area under its ROC curve against all others; of equal probabilities half are counted. A
    class that all images have, or none, is left out. Raises ValueError if that leaves no class.

    >>> Auroc().compute(np.array([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.array([0, 0, 1]))
    0.5
    """

    name = "auroc"
    label = "mean AUROC"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        num_images, num_of_class = len(labels), np.bincount(labels, minlength=logits.shape[1])
        shared = np.flatnonzero((num_of_class > 0) & (num_of_class < num_images))
        if not len(shared):
            raise ValueError(
                f"{self.name!r} must be of images of at least 2 classes, but all {num_images} have the label "
                f"{labels[0]}; name another metric"
            )
        shares, positives = probabilities(logits), num_of_class[shared]
        rank_sums = np.array([_rank_sum(shares[:, label], labels == label) for label in shared])
        # The number of pairs of an image of the class and another one, in which the first has the larger probability.
        num_ordered = rank_sums - positives * (positives + 1) / 2
        return float((num_ordered / (positives * (num_images - positives))).mean())


def _rank_sum(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """Add the ranks, from 1, of the chosen values among all values; equal ones share the mean of their ranks."""
    ordered = np.sort(values)
    first, last = (np.searchsorted(ordered, values[chosen], side) for side in ("left", "right"))
    return float((first + last + 1).sum() / 2)
