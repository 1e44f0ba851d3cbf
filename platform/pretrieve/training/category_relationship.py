"""The relationship between categories that Co-Tuning uses: p(y_source | y_target) (You et al. 2020)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from pretrieve.errors import RelationshipError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

INVERSE_PENALTIES = tuple(mantissa * 10.0**power for power in range(4, -5, -1) for mantissa in (3, 1))[1:]
"""The values of C that the original code tries: 1e4, 3e3, 1e3 … 3e-4, 1e-4."""

_LOG_SCALE_BOUNDS = (np.log(1e-3), np.log(1e3))
"""If all held-out images are classified correctly, the best scale is infinite; 1000 is certain enough for float64."""


def hold_out(labels: IntArray, *, fraction: float, rng: np.random.Generator) -> BoolArray:
    """Draw the images that choose and calibrate the regression, class by class, as (n,) bool, True where held out.

    `labels` are the target's classes, (n,) int64. `fraction`, in (0, 1), is the share held out of each class. A class
    with two or more images gives at least one and keeps at least one; a class with one image keeps it.

    >>> hold_out(np.array([0, 0, 0, 0, 1]), fraction=0.25, rng=np.random.default_rng(0)).sum()
    np.int64(1)
    """
    is_held_out = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        is_held_out[rng.permutation(rows)[:count]] = True
    return is_held_out


def learn_relationship(
    source_probabilities: FloatArray, labels: IntArray, *, num_target_classes: int, is_held_out: BoolArray
) -> FloatArray:
    """Learn p(y_source | y_target) by calibrated logistic regression and Bayes' rule, as the original code does.

    A regression without intercept from p(y_source | x) to y_target is fitted on the images that are not held out. The
    held-out images choose its inverse penalty C by accuracy (ties: the lower calibrated log loss) and the scale of its
    logits (a temperature) by log loss. Its prediction for the one-hot vector of source category k is p(y_target |
    y_source = k). Then p(y_source | y_target) ∝ p(y_target | y_source) · p(y_source), where p(y_source) is the mean of
    all source probabilities.

    A one-hot vector lies beyond what an uncertain classifier ever predicts. So the rows are sharper than the truth,
    where `direct_relationship` blurs them. Held-out labels are used labels: take both parts from the training images.

    Args:
      source_probabilities: (n, K_source) float64, rows sum to one: the pre-trained classifier's prediction for each
        target image.
      labels: (n,) int64 in [0, num_target_classes), every class at least once among the images that are not held out.
      num_target_classes: K_target ≥ 2.
      is_held_out: (n,) bool, at least one True; see `hold_out`.

    Returns (K_target, K_source) float64, whose rows sum to one. Raises RelationshipError if a row of the probabilities
    is no distribution, no image is held out, a class has only held-out images, or there is but one class.
    """
    _check(source_probabilities, labels, num_target_classes)
    if not is_held_out.any():
        raise RelationshipError(
            f"calibration needs held-out images, but none of {len(labels)} is held out; "
            "with one image a class use direct_relationship, in a study training.relationship: direct"
        )
    remedy = "has no image outside the held-out part; leave one there, as hold_out does"
    _check_every_class(labels[~is_held_out], num_target_classes, remedy)
    held_out = source_probabilities[is_held_out], labels[is_held_out]
    coefficients = _fit_calibrated(source_probabilities[~is_held_out], labels[~is_held_out], *held_out)
    # Bayes' rule in logarithms, so that a target class that no source category predicts still has a row.
    with np.errstate(divide="ignore"):
        log_joint = log_softmax(coefficients, axis=0) + np.log(source_probabilities.mean(axis=0))
    relationship: FloatArray = np.exp(log_softmax(log_joint, axis=1))
    return relationship


def direct_relationship(source_probabilities: FloatArray, labels: IntArray, *, num_target_classes: int) -> FloatArray:
    """Estimate p(y_source | y_target) as the mean source probabilities of each target class's images.

    This is the other estimate of You et al. (2020). Nothing is fitted, so one image per class is enough. Arguments,
    return value and errors are those of `learn_relationship`, without held-out images.

    >>> direct_relationship(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 1]), num_target_classes=2)
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    _check(source_probabilities, labels, num_target_classes)
    sums = np.zeros((num_target_classes, source_probabilities.shape[1]))
    np.add.at(sums, labels, source_probabilities)
    relationship: FloatArray = sums / sums.sum(axis=1, keepdims=True)
    return relationship


def _fit_calibrated(
    probabilities: FloatArray, labels: IntArray, held_out_probabilities: FloatArray, held_out_labels: IntArray
) -> FloatArray:
    """Return the (K_target, K_source) coefficients of the C that held-out images prefer, times their scale."""
    candidates = []
    for inverse_penalty in INVERSE_PENALTIES:
        coefficients = _fit(probabilities, labels, inverse_penalty)
        logits = held_out_probabilities @ coefficients.T
        accuracy = float((logits.argmax(axis=1) == held_out_labels).mean())
        scale, log_loss = _calibrate(logits, held_out_labels)
        candidates.append((accuracy, -log_loss, inverse_penalty, scale * coefficients))
    return max(candidates, key=lambda candidate: candidate[:3])[3]


def _fit(probabilities: FloatArray, labels: IntArray, inverse_penalty: float) -> FloatArray:
    model = LogisticRegression(C=inverse_penalty, fit_intercept=False)
    with warnings.catch_warnings():
        # With a weak penalty the optimum is far away; stopping early only acts like more penalty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(probabilities, labels)
    coefficients: FloatArray = model.coef_
    # For two classes scikit-learn returns the difference of their logits.
    return np.vstack([-coefficients, coefficients]) / 2 if len(coefficients) == 1 else coefficients


def _calibrate(logits: FloatArray, labels: IntArray) -> tuple[float, float]:
    """Return the scale of the logits that minimises their mean log loss, and that loss."""
    rows = np.arange(len(labels))

    def log_loss(log_scale: float) -> float:
        return -float(log_softmax(np.exp(log_scale) * logits, axis=1)[rows, labels].mean())

    # The loss is convex in the scale, so it has a single minimum in the scale's logarithm too.
    found = minimize_scalar(log_loss, bounds=_LOG_SCALE_BOUNDS, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)), float(found.fun)


def _check(source_probabilities: FloatArray, labels: IntArray, num_target_classes: int) -> None:
    if num_target_classes < 2:
        raise RelationshipError(f"a target needs at least two classes to be related, but has {num_target_classes}")
    # A sum that is NaN fails as well.
    is_good = (source_probabilities >= 0).all(axis=1) & (np.abs(source_probabilities.sum(axis=1) - 1) < 1e-3)
    if not is_good.all():
        raise RelationshipError(
            "each row of source_probabilities must be finite, ≥ 0 and sum to one, but "
            f"{int((~is_good).sum())} are not, the first in row {int(is_good.argmin())}; "
            "give the softmax of the pre-trained classifier's logits"
        )
    _check_every_class(labels, num_target_classes, "has no image; give images of every class of the target")


def _check_every_class(labels: IntArray, num_target_classes: int, fault: str) -> None:
    counts = np.bincount(labels, minlength=num_target_classes)
    if (counts == 0).any():
        raise RelationshipError(f"every target class needs an image, but class {int(counts.argmin())} {fault}")
