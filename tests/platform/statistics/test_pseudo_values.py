import numpy as np
import pytest

from pretrieve.errors import StatisticsError
from pretrieve.metrics.auroc import Auroc
from pretrieve.metrics.macro_f1 import MacroF1
from pretrieve.metrics.mean_per_class import MeanPerClass
from pretrieve.metrics.top1 import Top1
from pretrieve.statistics.pseudo_values import pseudo_values


@pytest.fixture
def predictions(rng):
    labels = np.arange(60) % 3
    return rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[labels], labels


def test_those_of_top1_are_right_and_wrong(predictions):
    outputs, labels = predictions
    correct = outputs.argmax(axis=1) == labels
    assert pseudo_values(Top1().compute, outputs, labels) == pytest.approx(correct.astype(float))


@pytest.mark.parametrize("metric", [Top1, MeanPerClass, MacroF1, Auroc])
def test_their_mean_is_the_metric(metric, predictions):
    assert pseudo_values(metric().compute, *predictions).mean() == pytest.approx(metric().compute(*predictions))


def test_those_of_the_mean_per_class_are_its_influences(predictions):
    """Without one of n_c images, a class's accuracy p moves by (p − x)/(n_c − 1), and the metric by a K-th of it."""
    outputs, labels = predictions
    correct = outputs.argmax(axis=1) == labels
    accuracy = np.bincount(labels, correct) / 20
    expected = accuracy.mean() + 59 * (correct - accuracy[labels]) / 19 / 3
    assert pseudo_values(MeanPerClass().compute, outputs, labels) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [MacroF1, Auroc])
def test_their_spread_is_that_of_the_metric_over_test_sets(metric, rng):
    """The variance of the mean of the values, against that of the metric over 300 drawn test sets."""
    variances, scores = [], []
    labels = np.arange(80) % 2
    for number in range(300):
        outputs = rng.normal(size=(80, 2)) + np.eye(2)[labels]
        scores.append(metric().compute(outputs, labels))
        if number < 30:
            variances.append(pseudo_values(metric().compute, outputs, labels).var(ddof=1) / 80)
    assert np.mean(variances) == pytest.approx(np.var(scores), rel=0.3)


def test_the_order_of_images_does_not_matter(predictions, rng):
    outputs, labels = predictions
    order = rng.permutation(60)
    values = pseudo_values(MacroF1().compute, outputs, labels)
    assert pseudo_values(MacroF1().compute, outputs[order], labels[order]) == pytest.approx(values[order])


def test_one_image_has_none():
    with pytest.raises(StatisticsError, match="at least 2 test images"):
        pseudo_values(Top1().compute, np.ones((1, 2)), np.zeros(1, int))
