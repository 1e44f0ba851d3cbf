"""What each image adds to a score, for whichever metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics import Metric
from pretrieve.statistics import TestedImages, mean_per_class_images, pseudo_values, top1_images


def tested_images(
    names: Sequence[str], outputs: NDArray[np.floating], labels: NDArray[np.int64], metric: Metric
) -> TestedImages:
    """Return the N ≥ 1 images of a score with their weights and values; `outputs` are (N, K), `names` all differ."""
    correct = outputs.argmax(axis=1) == labels
    if metric.name == "top1":
        return top1_images(names, correct)
    if metric.name == "mean_per_class":
        return mean_per_class_images(names, correct, labels)
    return top1_images(names, pseudo_values(metric.compute, outputs.astype(np.float64), labels))


def score_parts(outputs: NDArray[np.floating], labels: NDArray[np.int64], metric: Metric) -> NDArray[np.float64]:
    """Return what each of N images adds to a score, (N,), so that their mean is the score.

    >>> from pretrieve.metrics.mean_per_class import MeanPerClass
    >>> outputs = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> score_parts(outputs, np.array([0, 0, 1]), MeanPerClass()).tolist()
    [0.75, 0.0, 1.5]
    """
    if metric.name not in ("top1", "mean_per_class") and len(labels) < 2:
        return np.array([metric.compute(outputs.astype(np.float64), labels)])
    found = tested_images([str(number) for number in range(len(labels))], outputs, labels, metric)
    parts: NDArray[np.float64] = len(labels) * found.weights * found.values
    return parts
