"""Linear classifiers of fixed features: multinomial logistic regression, and nearest class means.

Heads are returned as `LinearHead`. A class without an image has a weight of 0 and a bias that gives it a probability of
at most 1 / (N + 1) on each of the N images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_NUM_ITERATIONS = 10_000
GRADIENT_TOLERANCE = 1e-7
"""Of the mean loss; it leaves predicted probabilities within 1e-4 of the exact solution."""

CHOICE_TOLERANCE = 1e-4
"""The same where only the loss of held-out images is compared."""

MIN_PRODUCTS_FOR_THREADS = 250_000_000
"""Images × features × classes from which a fit uses all threads. Those of smaller products wait for each other: two
took three times as long as one."""

NUM_FOLDS = 5
MAX_IMAGES_FOR_FOLDS = 2_000
MAX_IMAGES_TO_CHOOSE = 5_000
"""The strength of the penalty is chosen on a part of larger sets: it hardly depends on their number of images."""

UNFITTED_COSINE_SCALE = 10.0
"""Of logits from cosines where no class has the two images that its fit needs."""

Array = NDArray[np.float64]


class LinearHead(NamedTuple):
    """Weight (K, D) and bias (K,), both float32 on the CPU; logits are features · weightᵀ + bias."""

    weight: Tensor
    bias: Tensor


def logistic_regression(features: Tensor, labels: Tensor, *, num_classes: int, l2: float) -> LinearHead:
    """Fit Σ cross-entropy + ½ · l2 · ‖W‖² on features that are divided by one number, their standard deviation.

    That number, √(mean squared distance to the mean feature / D), makes the same `l2` fit backbones of any scale. The
    solution is that of scikit-learn's `LogisticRegression(C=1 / l2)` on the divided features: the bias is not
    penalised, and two classes share one weight vector.

    Args:
      features: (N, D) float32, finite, N ≥ 1.
      labels: (N,) int64 in [0, num_classes).
      num_classes: K.
      l2: > 0.
    """
    (head,) = _regressions(features, labels, num_classes, (l2,), GRADIENT_TOLERANCE)
    return head


def choose_l2(features: Tensor, labels: Tensor, candidates: tuple[float, ...]) -> float:
    """Return the candidate whose fits give held-out images the highest likelihood; the largest of equal ones.

    Up to MAX_IMAGES_FOR_FOLDS images are held out in NUM_FOLDS folds, stratified; of more, one fold alone. Where no
    class has two images nothing can be held out, and it returns the candidate in the middle.
    """
    order = torch.argsort(labels, stable=True)
    order = order[:: math.ceil(len(order) / MAX_IMAGES_TO_CHOOSE)]
    kept_features, kept_labels = features[order], labels[order]
    fold = torch.arange(len(order)) % NUM_FOLDS
    numbers = range(NUM_FOLDS) if len(order) <= MAX_IMAGES_FOR_FOLDS else range(1)
    num_classes, losses = int(labels.max()) + 1, dict.fromkeys(sorted(candidates, reverse=True), 0.0)
    num_scored = 0
    for number in numbers:
        train, held_out = fold != number, fold == number
        seen = torch.isin(kept_labels, kept_labels[train]) & held_out
        if not seen.any():
            continue
        num_scored += int(seen.sum())
        fits = _regressions(kept_features[train], kept_labels[train], num_classes, tuple(losses), CHOICE_TOLERANCE)
        for l2, head in zip(losses, fits, strict=True):
            logits = kept_features[seen] @ head.weight.T + head.bias
            losses[l2] += float(torch.nn.functional.cross_entropy(logits.double(), kept_labels[seen], reduction="sum"))
    return min(losses, key=losses.__getitem__) if num_scored else sorted(candidates)[len(candidates) // 2]


def class_means(features: Tensor, labels: Tensor, *, num_classes: int) -> LinearHead:
    """Compare a feature with each class's mean feature by cosine: the class of the largest logit is the nearest.

    A logit is s · cosine · ‖feature‖, which ranks the classes as the cosine does. The scale s gives the training images
    the highest likelihood, each compared with the mean of the *other* images of its class. Shapes are those of
    `logistic_regression`.
    """
    raw = features.double().numpy()
    present, numbers = np.unique(labels.numpy(), return_inverse=True)
    sums = np.zeros((len(present), raw.shape[1]))
    np.add.at(sums, numbers, raw)
    weight = _unit(sums) * _cosine_scale(raw, numbers, sums)
    return _over_all_classes(weight, np.zeros(len(present)), present, num_classes, raw)


def _regressions(
    features: Tensor, labels: Tensor, num_classes: int, strengths: tuple[float, ...], tolerance: float
) -> Iterator[LinearHead]:
    """Yield the solution of `logistic_regression` for each strength; each fit starts from the one before."""
    points: Array = np.array(features.numpy(), dtype=np.float64)  # one copy, changed in place: it may be large
    centre = points.mean(0)
    points -= centre
    scale = math.sqrt(float(np.vdot(points, points)) / points.size) or 1.0
    points /= scale
    # With fewer images than features the solution lies in the space that the images span; there it is found faster.
    basis = None
    if len(points) < points.shape[1]:
        left, lengths, basis = np.linalg.svd(points, full_matrices=False)
        points = left * lengths
    present, numbers = np.unique(labels.numpy(), return_inverse=True)
    for weight, bias in _fits(points, numbers, len(present), strengths, tolerance):
        of_features = (weight if basis is None else weight @ basis) / scale
        yield _over_all_classes(of_features, bias - of_features @ centre, present, num_classes, features.numpy())


def _fits(
    points: Array, numbers: NDArray[np.intp], num_classes: int, strengths: tuple[float, ...], tolerance: float
) -> Iterator[tuple[Array, Array]]:
    if num_classes == 1:
        yield from ((np.zeros((1, points.shape[1])), np.zeros(1)) for _ in strengths)
        return
    from sklearn.linear_model import LogisticRegression  # slow to import, and most processes fit nothing
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(tol=tolerance, max_iter=MAX_NUM_ITERATIONS, warm_start=True)
    is_small = points.size * num_classes < MIN_PRODUCTS_FOR_THREADS
    for l2 in strengths:
        with threadpool_limits(1 if is_small else None):
            model.set_params(C=1 / l2).fit(points, numbers)
        weight, bias = model.coef_, model.intercept_
        yield (weight, bias) if num_classes > 2 else (np.stack([-weight[0], weight[0]]) / 2, np.r_[-bias, bias] / 2)


def _cosine_scale(raw: Array, numbers: NDArray[np.intp], sums: Array) -> float:
    """Return s of `class_means`."""
    from scipy.optimize import minimize_scalar

    counts = np.bincount(numbers)
    typical = float(np.linalg.norm(raw, axis=1).mean()) or 1.0
    rows = np.flatnonzero(counts[numbers] > 1)
    if not len(rows) or len(counts) == 1:
        return UNFITTED_COSINE_SCALE / typical
    own = np.arange(len(rows)), numbers[rows]
    logits = raw[rows] @ _unit(sums).T
    logits[own] = (raw[rows] * _unit(sums[numbers[rows]] - raw[rows])).sum(1)

    def loss(log_scale: float) -> float:
        scaled = math.exp(log_scale) / typical * logits
        return float((_logsumexp(scaled) - scaled[own]).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.1), math.log(1e3)), method="bounded")
    return math.exp(found.x) / typical


def _logsumexp(logits: Array) -> Array:
    largest = logits.max(1)
    summed: Array = largest + np.log(np.exp(logits - largest[:, None]).sum(1))
    return summed


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Array = vectors / np.where(lengths > 0, lengths, 1.0)
    return directions


def _over_all_classes(
    weight: Array, bias: Array, present: NDArray[np.int64], num_classes: int, features: NDArray[Any]
) -> LinearHead:
    """Spread the rows of the classes that have images over all classes."""
    whole_weight, whole_bias = np.zeros((num_classes, weight.shape[1])), np.zeros(num_classes)
    whole_weight[present], whole_bias[present] = weight, bias
    if len(present) < num_classes:
        absent = np.setdiff1d(np.arange(num_classes), present)
        whole_bias[absent] = float(_logsumexp(features @ weight.T + bias).min()) - math.log(len(features) + 1)
    return LinearHead(torch.from_numpy(whole_weight).float(), torch.from_numpy(whole_bias).float())
