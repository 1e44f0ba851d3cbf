"""What each test image contributes to a metric that is no weighted mean over images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import StatisticsError


def pseudo_values(
    compute: Callable[[NDArray[np.float64], NDArray[np.int64]], float],
    outputs: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the jackknife's pseudo-value of each image, shifted so that their mean is the metric.

    With θ the metric and θ₋ᵢ the metric without image i: xᵢ = θ + (n − 1)(mean of all θ₋ⱼ − θ₋ᵢ), which is Tukey's
    nθ − (n − 1)θ₋ᵢ but for a constant. To first order a metric is a mean over images, of θ and the influence of each.
    For `top1` the values are exactly 1 and 0. For a smooth metric (macro F1, AUROC) the error falls as 1/n; a metric
    that jumps with one image (a median, or a class with a single image) is approximated badly.

    The metric is computed n + 1 times, so the time grows as n².

    Args:
      compute: the metric, of (n, K) outputs and (n,) labels.
      outputs: (n, K) float64, n ≥ 2.
      labels: (n,) int64 in [0, K).

    Returns:
      (n,) float64; each has weight 1/n, as in `top1_images`, which takes them.

    Raises:
      StatisticsError: there are fewer than two images.
    """
    num_images = len(labels)
    if num_images < 2:
        raise StatisticsError(
            f"pseudo-values need at least 2 test images, but there are {num_images}; give the test split more images"
        )
    without = np.empty(num_images)
    kept = np.ones(num_images, bool)
    for image in range(num_images):
        kept[image] = False
        without[image] = compute(outputs[kept], labels[kept])
        kept[image] = True
    shifted: NDArray[np.float64] = compute(outputs, labels) + (num_images - 1) * (without.mean() - without)
    return shifted
