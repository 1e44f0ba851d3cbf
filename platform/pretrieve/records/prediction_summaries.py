"""What kept predictions say of a refit: its confusion matrix, the accuracy of each class, its calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics._base import probabilities
from pretrieve.records.predictions import KeptPredictions

NUM_BINS = 15
"""Of the calibration error, as in Guo et al. (2017)."""


def confusion_matrix(predictions: KeptPredictions) -> NDArray[np.int64]:
    """Count the test images by label and predicted class: (K, K) int64, rows are labels, columns are predictions."""
    num_classes = len(predictions.class_names)
    pairs = predictions.labels.astype(np.int64) * num_classes + predictions.predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class_accuracy(predictions: KeptPredictions) -> NDArray[np.float64]:
    """Return the share of each class's test images that is predicted right: (K,) float64; NaN for a class without one.

    The mean over the classes that have an image is the metric `mean_per_class`.
    """
    counts = confusion_matrix(predictions)
    num_images = counts.sum(axis=1)
    shares = np.full(len(num_images), np.nan)
    np.divide(counts.diagonal(), num_images, out=shares, where=num_images > 0)
    return shares


def expected_calibration_error(predictions: KeptPredictions, *, num_bins: int = NUM_BINS) -> float:
    """Return how far confidence and accuracy are apart, in [0, 1] (Guo et al. 2017, eq. 3).

    The confidence of an image is the probability of its predicted class. Images are put into `num_bins` bins of equal
    width, (0, 1/B], …, ((B − 1)/B, 1], and |accuracy − mean confidence| is averaged over the bins, weighted by their
    images. An image whose scores are not finite has confidence 0, and counts in the first bin.

    Raises:
      ValueError: `num_bins` is not positive, or there is no image.
    """
    if num_bins < 1 or not len(predictions.labels):
        raise ValueError(
            f"a calibration error must have at least 1 bin and 1 image, but has {num_bins} and "
            f"{len(predictions.labels)}; ask for more bins, or give predictions of some images"
        )
    confidence = probabilities(predictions.scores.astype(np.float64)).max(axis=1)
    is_right = predictions.predicted == predictions.labels
    bins = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    # In each bin |Σ (right − confidence)| is the number of its images times the difference of their means.
    gaps = np.bincount(bins, weights=is_right - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidence))
