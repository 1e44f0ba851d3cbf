"""Labels as weights of the classes: smoothed, and weighted by how rare an image's class is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(labels: Tensor) -> Tensor:
    """Weight each class by 1 / n, n ≥ 1 images of it, so that the mean weight of all N images is 1.

    `labels` are (N,) int64, those of a training set. Returns (K,) float32, K − 1 the largest label; a class without
    images has the weight of one with a single image, and no image reads it.

    >>> class_weights(torch.tensor([0, 0, 0, 1]))
    tensor([0.6667, 2.0000])
    """
    counts = torch.bincount(labels)
    return (len(labels) / (counts.count_nonzero() * counts.clamp(min=1))).float()


def label_weights(
    labels: Tensor, num_classes: int, *, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Turn (B,) int64 labels into (B, K) float32 weights of the K classes.

    A row gives 1 − `smoothing` to the image's class and `smoothing` / K to each class (Szegedy et al. 2016), all of it
    times the class's entry of `class_weights`, which are on the labels' device.

    >>> label_weights(torch.tensor([2]), 4, smoothing=0.2)
    tensor([[0.0500, 0.0500, 0.8500, 0.0500]])
    """
    weights = (1 - smoothing) * F.one_hot(labels, num_classes).float() + smoothing / num_classes
    return weights if class_weights is None else weights * class_weights[labels, None]
