from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pretrieve.errors import UserError
from pretrieve.training.category_relationship import (
    INVERSE_PENALTIES,
    direct_relationship,
    hold_out,
    learn_relationship,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# p(y_source | y_target) of a world with three target classes and five source categories.
TRUTH = np.array([[0.6, 0.3, 0.1, 0.0, 0.0], [0.0, 0.1, 0.3, 0.6, 0.0], [0.1, 0.1, 0.1, 0.1, 0.6]])


def draw_world(rng: np.random.Generator, per_class: int) -> tuple[Floats, Ints]:
    """Images whose source category is known for certain and drawn by TRUTH."""
    labels = np.repeat(np.arange(3), per_class)
    categories = np.array([rng.choice(5, p=TRUTH[label]) for label in labels])
    return np.eye(5)[categories], labels


def split(labels: Ints, rng: np.random.Generator, fraction: float = 0.2) -> NDArray[np.bool_]:
    return hold_out(labels, fraction=fraction, rng=rng)


def test_a_known_world_is_learned(rng: np.random.Generator) -> None:
    probabilities, labels = draw_world(rng, per_class=2000)
    learned = learn_relationship(probabilities, labels, num_target_classes=3, is_held_out=split(labels, rng))
    # Brute force: Bayes' rule on counts.
    counts = np.array([probabilities[labels == k].sum(axis=0) for k in range(3)])
    target_given_source = counts / counts.sum(axis=0)
    joint = target_given_source * probabilities.mean(axis=0)
    np.testing.assert_allclose(learned, joint / joint.sum(axis=1, keepdims=True), atol=0.03)
    np.testing.assert_allclose(learned, TRUTH, atol=0.04)


def test_classes_of_other_sizes_follow_bayes_rule(rng: np.random.Generator) -> None:
    """A class ten times as frequent is not ten times as present in every category of the others."""
    probabilities, labels = draw_world(rng, per_class=2000)
    kept = (labels != 0) | (rng.random(len(labels)) < 0.1)
    probabilities, labels = probabilities[kept], labels[kept]
    learned = learn_relationship(probabilities, labels, num_target_classes=3, is_held_out=split(labels, rng))
    np.testing.assert_allclose(learned, TRUTH, atol=0.08)


def test_a_vague_classifier_sharpens_the_rows_and_keeps_their_order(rng: np.random.Generator) -> None:
    """Between the blur of the direct estimate and certainty: the largest category of each class stays the largest."""
    sharp, labels = draw_world(rng, per_class=2000)
    vague = 0.5 * sharp + 0.5 / 5
    learned = learn_relationship(vague, labels, num_target_classes=3, is_held_out=split(labels, rng))
    direct = direct_relationship(vague, labels, num_target_classes=3)
    np.testing.assert_allclose(direct, 0.5 * TRUTH + 0.1, atol=0.03)
    assert (learned.max(axis=1) > direct.max(axis=1) + 0.1).all()
    assert learned.argmax(axis=1).tolist() == [0, 3, 4]


def test_labels_that_mean_nothing_leave_every_class_the_marginal(rng: np.random.Generator) -> None:
    """Held-out images flatten what the regression learned by heart from 40 categories and 20 images a class."""
    probabilities = rng.dirichlet(np.full(40, 0.05), size=100)
    labels = np.repeat(np.arange(5), 20)
    learned = learn_relationship(probabilities, labels, num_target_classes=5, is_held_out=split(labels, rng, 0.5))
    np.testing.assert_allclose(learned, np.tile(probabilities.mean(axis=0), (5, 1)), atol=0.03)


def test_two_classes_are_learned_like_more(rng: np.random.Generator) -> None:
    probabilities, labels = draw_world(rng, per_class=2000)
    two = labels < 2
    probabilities, labels = probabilities[two], labels[two]
    learned = learn_relationship(probabilities, labels, num_target_classes=2, is_held_out=split(labels, rng))
    np.testing.assert_allclose(learned, TRUTH[:2], atol=0.04)


def test_renaming_the_target_classes_renames_the_rows(rng: np.random.Generator) -> None:
    probabilities, labels = draw_world(rng, per_class=60)
    is_held_out = split(labels, rng)
    names = np.array([2, 0, 1])
    learned = learn_relationship(probabilities, labels, num_target_classes=3, is_held_out=is_held_out)
    renamed = learn_relationship(probabilities, names[labels], num_target_classes=3, is_held_out=is_held_out)
    np.testing.assert_allclose(renamed[names], learned, atol=0.01)


@pytest.mark.parametrize("counts", [[5, 5, 5], [1, 5, 2], [1, 1, 2]])
def test_few_images_a_class_are_enough(rng: np.random.Generator, counts: list[int]) -> None:
    labels = np.repeat(np.arange(3), counts)
    sharp = np.eye(30)[labels * 3]
    probabilities = 0.9 * sharp + 0.1 * rng.dirichlet(np.ones(30), size=len(labels))
    learned = learn_relationship(probabilities, labels, num_target_classes=3, is_held_out=split(labels, rng))
    assert np.isfinite(learned).all()
    np.testing.assert_allclose(learned.sum(axis=1), 1, atol=1e-12)
    assert learned.argmax(axis=1).tolist() == [0, 3, 6]


def test_a_category_that_no_image_shows_has_no_part(rng: np.random.Generator) -> None:
    probabilities, labels = draw_world(rng, per_class=40)
    probabilities = np.hstack([probabilities, np.zeros((len(labels), 1))])
    learned = learn_relationship(probabilities, labels, num_target_classes=3, is_held_out=split(labels, rng))
    assert (learned[:, 5] == 0).all()


def test_direct_relationship_is_the_mean_of_each_class(rng: np.random.Generator) -> None:
    labels = np.array([0, 1, 1, 2, 0, 2, 2])
    probabilities = rng.dirichlet(np.ones(4), size=7)
    expected = [probabilities[labels == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(direct_relationship(probabilities, labels, num_target_classes=3), expected, atol=1e-15)


def test_hold_out_takes_its_share_of_every_class_and_leaves_each_one(rng: np.random.Generator) -> None:
    labels = rng.permutation(np.repeat(np.arange(4), [1, 2, 5, 40]))
    is_held_out = hold_out(labels, fraction=0.25, rng=rng)
    assert np.bincount(labels[is_held_out], minlength=4).tolist() == [0, 1, 1, 10]
    assert not np.array_equal(is_held_out, hold_out(labels, fraction=0.25, rng=rng))


def test_the_originals_penalties_are_tried() -> None:
    assert len(INVERSE_PENALTIES) == 17
    assert (INVERSE_PENALTIES[0], INVERSE_PENALTIES[1], INVERSE_PENALTIES[-1]) == pytest.approx((1e4, 3e3, 1e-4))


def with_entry(value: float) -> Floats:
    probabilities = np.full((4, 2), 0.5)
    probabilities[2, 1] = value
    return probabilities


HALVES = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("probabilities", "labels", "match"),
    [
        (with_entry(np.nan), [0, 0, 1, 1], "1 are not, the first in row 2; give the softmax"),
        (with_entry(-0.5), [0, 0, 1, 1], "first in row 2"),
        (with_entry(0.9), [0, 0, 1, 1], "first in row 2"),
        (HALVES, [1, 1, 1, 1], "class 0 has no image"),
    ],
)
def test_what_no_relationship_can_be_learned_from_is_refused(
    probabilities: Floats, labels: list[int], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        direct_relationship(probabilities, np.array(labels), num_target_classes=2)
    with pytest.raises(UserError, match=match):
        learn_relationship(
            probabilities, np.array(labels), num_target_classes=2, is_held_out=np.array([True, False, False, False])
        )


@pytest.mark.parametrize(
    ("is_held_out", "match"),
    [
        ([False] * 4, "none of 4 is held out; with one image a class use direct_relationship"),
        ([True, True, False, False], "class 0 has no image outside the held-out part"),
    ],
)
def test_a_held_out_part_that_does_not_serve_is_refused(is_held_out: list[bool], match: str) -> None:
    with pytest.raises(UserError, match=match):
        learn_relationship(HALVES, np.array([0, 0, 1, 1]), num_target_classes=2, is_held_out=np.array(is_held_out))


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(UserError, match="at least two classes"):
        direct_relationship(HALVES, np.zeros(4, dtype=np.int64), num_target_classes=1)
