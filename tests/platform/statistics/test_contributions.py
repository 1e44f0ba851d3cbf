import numpy as np
import pytest

from pretrieve.errors import StatisticsError
from pretrieve.metrics.mean_per_class import MeanPerClass
from pretrieve.metrics.top1 import Top1
from pretrieve.statistics import TestedImages, contributions, mean_per_class_images, paired_difference, top1_images


def outputs_of(predicted, num_classes):
    return np.eye(num_classes)[predicted]


def test_weights_give_the_metrics_score(rng):
    labels, predicted = rng.integers(0, 5, 40), rng.integers(0, 5, 40)
    names, correct = [f"image {number}" for number in range(40)], labels == predicted
    for metric, tested in (
        (Top1(), top1_images(names, correct)),
        (MeanPerClass(), mean_per_class_images(names, correct, labels)),
    ):
        assert contributions([tested]).scores[0] == pytest.approx(metric.compute(outputs_of(predicted, 5), labels))


def test_classes_without_an_image_do_not_count():
    tested = mean_per_class_images(["a", "b", "c"], np.array([True, False, False]), np.array([7, 7, 9]))
    assert tested.weights.tolist() == [0.25, 0.25, 0.5]


def test_images_are_aligned_by_identity():
    table = contributions([top1_images(["b", "a"], np.array([True, False])), top1_images(["c"], np.array([True]))])
    assert table.images == ("a", "b", "c")
    assert table.values.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert table.weights.tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    assert table.scores.tolist() == [0.5, 1.0]


def test_a_paired_difference_is_that_of_the_scores(rng):
    repeats = [rng.permutation(30)[:10] for _ in range(4)]
    first, second = (
        contributions([top1_images([str(image) for image in images], rng.random(10) < 0.5) for images in repeats])
        for _ in range(2)
    )
    assert paired_difference(first, second).scores == pytest.approx(first.scores - second.scores)


def test_rows_on_other_images_are_not_paired():
    first, second = (contributions([top1_images([name, "b"], np.array([True, False]))]) for name in "ac")
    with pytest.raises(StatisticsError, match="keep the repeats that both have"):
        paired_difference(first, second)


def test_rows_of_other_repeats_are_not_paired():
    images = top1_images(["a", "b"], np.array([True, False]))
    with pytest.raises(StatisticsError, match="one has 1 repeats on 2 images and the other 2 on 2"):
        paired_difference(contributions([images]), contributions([images, images]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"identities": ["a", "a"]}, "of 2 identities only 1 differ"),
        ({"identities": ["a"]}, "as many values"),
        ({"values": np.array([1.0, np.nan])}, "that of 'b' is not"),
        ({"weights": np.array([0.5, 0.6])}, "the sum 1.1"),
        ({"weights": np.array([0.0, 1.0])}, "the least is 0.0"),
        ({"strata": np.array([1])}, "as many values"),
    ],
)
def test_faults_are_named(changed, message):
    given = {"identities": ["a", "b"], "values": np.ones(2), "weights": np.full(2, 0.5)}
    with pytest.raises(StatisticsError, match=message):
        TestedImages(**{**given, **changed})


def test_an_image_has_one_class():
    correct = np.array([True, True])
    repeats = [mean_per_class_images(["a", "b"], correct, np.array(labels)) for labels in ([0, 1], [0, 2])]
    with pytest.raises(StatisticsError, match="'b' has another one in repeat 1"):
        contributions(repeats)


def test_no_repeats_are_an_error():
    with pytest.raises(StatisticsError, match="at least 1 repeat"):
        contributions([])
