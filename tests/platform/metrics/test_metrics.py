"""The metrics against scikit-learn, and the accuracies against how earlier versions computed them, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from pretrieve.components import METRICS
from pretrieve.metrics._base import Metric, probabilities


def drawn(seed: int, num_images: int, num_classes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw outputs that are right more often than not, rounded so that some are equal, with a class left out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 1, num_images)
    logits = 1.5 * np.eye(num_classes)[labels] + rng.normal(size=(num_images, num_classes))
    return logits.round(1), labels


def accuracy_before(logits: NDArray[np.float64], labels: NDArray[np.int64], metric: str) -> float:
    """Compute an accuracy as version 0.1 did."""
    predictions, right = torch.from_numpy(logits).argmax(1), torch.from_numpy(labels)
    correct = (predictions == right).double()
    if metric == "top1":
        return float(correct.mean())
    shares = [correct[right == label].mean() for label in right.unique()]
    return float(torch.stack(shares).mean())


@pytest.mark.parametrize("word", ["top1", "mean_per_class"])
@pytest.mark.parametrize("num_classes", [2, 3, 7, 37, 120, 397])
def test_accuracies_are_those_of_earlier_versions_to_the_bit(word: str, num_classes: int) -> None:
    metric = METRICS.build(word, {})
    for seed in range(40):
        logits, labels = drawn(seed, 50 + 97 * seed, num_classes)
        assert metric.compute(logits, labels) == accuracy_before(logits, labels, word)


def test_the_predicted_class_is_torchs_for_equal_outputs_and_outputs_that_are_not_finite() -> None:
    logits = torch.randn(2000, 9, generator=torch.Generator().manual_seed(0)).mul(2).round()
    logits[::7, 3], logits[::11, 5], logits[::13, 8] = torch.nan, torch.inf, torch.nan
    assert logits.double().numpy().argmax(1).tolist() == logits.argmax(1).tolist()


@pytest.mark.parametrize("word", ["top1", "mean_per_class", "macro_f1", "auroc"])
@pytest.mark.parametrize("num_classes", [3, 10, 60])
@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_scikit_learn(seed: int, num_classes: int, word: str) -> None:
    logits, labels = drawn(seed, 500, num_classes)
    predicted = logits.argmax(1)
    areas = [roc_auc_score(labels == label, probabilities(logits)[:, label]) for label in np.unique(labels)]
    expected = {
        "top1": accuracy_score(labels, predicted),
        # Without the classes that have no image scikit-learn's recall is the accuracy of a class.
        "mean_per_class": recall_score(labels, predicted, labels=np.unique(labels), average="macro"),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "auroc": np.mean(areas),
    }
    assert METRICS.build(word, {}).compute(logits, labels) == pytest.approx(expected[word], abs=1e-12)


def test_an_auroc_of_whole_data_is_scikit_learns_of_one_class_against_the_rest() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 5
    logits = np.eye(5)[labels] + rng.normal(size=(200, 5))
    expected = roc_auc_score(labels, probabilities(logits), multi_class="ovr", average="macro")
    assert METRICS.build("auroc", {}).compute(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_an_auroc_of_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="must be of images of at least 2 classes, but all 3 have the label 1"):
        METRICS.build("auroc", {}).compute(np.eye(3), np.array([1, 1, 1]))


class TooLarge(Metric):
    """Give a number that no metric may give."""

    name = "too_large"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 1.5


@pytest.mark.parametrize(
    ("logits", "labels", "fault"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "'top1' must be of at least 1 image, but there is none; give the split"),
        (np.zeros((2, 3)), np.zeros(3, int), r"\(N, K\) outputs and \(N,\) labels, but they are \(2, 3\) and \(3,\)"),
        (np.zeros((2, 3)), np.array([0, 3]), r"labels of 'top1' must lie in 0 … 2, but lie in 0 … 3"),
    ],
)
def test_inputs_out_of_range_are_refused(logits: NDArray[np.float64], labels: NDArray[np.int64], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        METRICS.build("top1", {}).compute(logits, labels)


def test_a_result_out_of_range_is_refused_with_its_class() -> None:
    fault = (
        r"metric 'too_large' must give a number in \[0, 1\], but gave 1.5 for 2 images; mend .*test_metrics.TooLarge"
    )
    with pytest.raises(ValueError, match=fault):
        TooLarge().compute(np.eye(2), np.arange(2))
