"""Confusion, accuracy of each class and calibration error against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from made_predictions import make_predictions
from scipy.special import softmax
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import recall_score

from pretrieve.data.metric_words import find_metrics
from pretrieve.records.prediction_summaries import confusion_matrix, expected_calibration_error, per_class_accuracy
from pretrieve.records.predictions import KeptPredictions


def drawn(num_images: int = 400, num_classes: int = 7, *, missing: int | None = None) -> KeptPredictions:
    """Draw predictions that are right more often than not; no image has the class `missing`."""
    rng = np.random.default_rng(num_images + num_classes)
    labels = rng.choice([k for k in range(num_classes) if k != missing], num_images)
    return make_predictions(rng.normal(size=(num_images, num_classes)) + 2 * np.eye(num_classes)[labels], labels)


@pytest.mark.parametrize("missing", [None, 0, 6])
def test_the_confusion_matrix_is_that_of_scikit_learn(missing: int | None) -> None:
    predictions = drawn(missing=missing)
    found = confusion_matrix(predictions)
    expected = sklearn_confusion(predictions.labels, predictions.scores.argmax(1), labels=range(7))
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


def test_the_accuracies_of_the_classes_are_the_recalls_of_scikit_learn() -> None:
    predictions = drawn()
    expected = recall_score(predictions.labels, predictions.scores.argmax(1), average=None)
    np.testing.assert_allclose(per_class_accuracy(predictions), expected, rtol=1e-15)


def test_a_class_without_an_image_has_no_accuracy_and_leaves_the_mean_of_the_others() -> None:
    predictions = drawn(missing=6)
    shares = per_class_accuracy(predictions)
    assert np.isnan(shares).tolist() == [False] * 6 + [True]
    (mean_per_class,) = find_metrics(["mean_per_class"])
    expected = mean_per_class.compute(predictions.scores.astype(np.float64), predictions.labels.astype(np.int64))
    assert np.nanmean(shares) == pytest.approx(expected)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_going_through_the_bins(num_bins: int) -> None:
    predictions = drawn()
    shares = softmax(predictions.scores.astype(np.float64), axis=1)
    confidence, is_right = shares.max(1), shares.argmax(1) == predictions.labels
    expected = 0.0
    for number in range(num_bins):
        inside = (confidence > number / num_bins) & (confidence <= (number + 1) / num_bins)
        if inside.any():
            expected += inside.mean() * abs(is_right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(predictions, num_bins=num_bins) == pytest.approx(expected, abs=1e-12)


def test_the_calibration_error_by_hand() -> None:
    # Confidences 3/4 (right), 3/4 (wrong) and 1/2 (right; of equal scores the first counts). Of two bins, (1/2, 1] has
    # accuracy 1/2 and confidence 3/4, and (0, 1/2] has 1 and 1/2: 2/3 · 1/4 + 1/3 · 1/2 = 1/3.
    sure = np.log(3.0)
    predictions = make_predictions([[sure, 0.0], [sure, 0.0], [0.0, 0.0]], [0, 1, 0])
    assert expected_calibration_error(predictions, num_bins=2) == pytest.approx(1 / 3, abs=1e-7)


def test_scores_that_are_not_finite_have_no_confidence() -> None:
    predictions = make_predictions([[np.nan, 1.0], [np.inf, 1.0]], [0, 0])
    assert predictions.predicted.tolist() == [0, 0]
    assert expected_calibration_error(predictions) == 1.0, "right without any confidence"


def test_a_calibration_error_needs_a_bin_and_an_image() -> None:
    with pytest.raises(ValueError, match="at least 1 bin and 1 image, but has 0 and 400"):
        expected_calibration_error(drawn(), num_bins=0)
    with pytest.raises(ValueError, match="but has 15 and 0"):
        expected_calibration_error(make_predictions(np.zeros((0, 2)), []))
