"""Folds: every image is held out once, classes are balanced, groups are whole, and what cannot be is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from pretrieve.data.folds import NEVER_HELD_OUT, make_folds
from pretrieve.errors import ImageSetError

pytestmark = pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")  # scikit-learn's


def names_of(labels):
    return [f"birds/{row:06d}.jpg" for row in range(len(labels))]


def folds(labels, *, num_folds=3, seed=0, **options):
    labels = np.asarray(labels)
    options.setdefault("names", names_of(labels))
    return make_folds(labels, num_folds=num_folds, seed=seed, set_name="birds", **options)


def count(labels, numbers):
    """Count the images of each class (columns) in each fold (rows)."""
    numbers, labels = np.asarray(numbers), np.asarray(labels)
    held = np.zeros((numbers.max() + 1, labels.max() + 1), dtype=int)
    np.add.at(held, (numbers[numbers >= 0], labels[numbers >= 0]), 1)
    return held


@given(st.lists(st.integers(0, 6), min_size=14, max_size=80), st.integers(2, 7), st.integers(0, 5))
def test_sizes_and_classes_are_even_to_one_image_and_only_lone_images_are_never_held_out(labels, num_folds, seed):
    _, labels = np.unique(labels, return_inverse=True)
    made = folds(labels, num_folds=num_folds, seed=seed)
    assert made.numbers.dtype == np.int8
    is_lone = np.bincount(labels)[labels] == 1
    np.testing.assert_array_equal(made.numbers == NEVER_HELD_OUT, is_lone)
    held = count(labels, made.numbers)
    assert held.shape[0] == num_folds
    assert np.ptp(held.sum(axis=1)) <= 1
    assert np.ptp(held, axis=0).max() <= 1
    for fold in range(num_folds):
        assert set(labels[made.numbers != fold]) == set(labels), "what a network learns from has all classes"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 14)), min_size=20, max_size=90), st.integers(2, 4))
@settings(max_examples=60)
def test_groups_are_whole_and_every_class_is_learned_without_any_fold_or_refused(images, num_folds):
    _, labels = np.unique([label for label, _ in images], return_inverse=True)
    groups = np.array([f"p{group}" for _, group in images])
    try:
        made = folds(labels, groups=groups, num_folds=num_folds)
    except ImageSetError:
        num_groups = [len(set(groups[labels == label])) for label in set(labels)]
        # Two folds may not suffice for classes that share few groups; otherwise one group holds a class or folds lack.
        assert min(num_groups) == 1 or len(set(groups)) < num_folds + 1 or num_folds == 2
        return
    assert set(range(num_folds)) <= set(made.numbers.tolist())
    for group in set(groups):
        assert len(set(made.numbers[groups == group])) == 1
    lone_groups = groups[np.bincount(labels)[labels] == 1]
    np.testing.assert_array_equal(made.numbers == NEVER_HELD_OUT, np.isin(groups, lone_groups))
    for fold in range(num_folds):
        assert set(labels[made.numbers != fold]) == set(labels)


@pytest.mark.parametrize("num_folds", [3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_classes_are_as_even_as_those_of_scikit_learn(seed, num_folds):
    labels = np.random.default_rng(seed).choice(7, size=200, p=[0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03])
    theirs = np.zeros(200, dtype=int)
    for fold, (_, held_out) in enumerate(StratifiedKFold(num_folds).split(labels, labels)):
        theirs[held_out] = fold
    for label, column in enumerate(count(labels, folds(labels, num_folds=num_folds).numbers).T):
        assert sorted(column) == sorted(count(labels, theirs)[:, label])


def unevenness(labels, numbers):
    """Return the standard deviation over folds of each class's share in them, averaged over classes."""
    held = count(labels, numbers)
    return (held / held.sum(axis=0)).std(axis=0).mean()


def test_grouped_classes_are_on_average_more_even_than_those_of_scikit_learn():
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sizes = np.maximum(1, rng.lognormal(1.5, 1.0, 120)).astype(int)  # of 120 patients, a few with many images
        patients = np.repeat(np.arange(120), sizes)
        usual = rng.integers(0, 4, 120)[patients]
        labels = np.where(rng.random(len(patients)) < 0.8, usual, rng.integers(0, 4, len(patients)))
        theirs = np.zeros(len(labels), dtype=int)
        for fold, (_, held_out) in enumerate(StratifiedGroupKFold(5).split(labels, labels, patients)):
            theirs[held_out] = fold
        ours = folds(labels, groups=patients.astype(str), num_folds=5).numbers
        ratios.append(unevenness(labels, ours) / unevenness(labels, theirs))
    assert np.mean(ratios) < 1
    assert max(ratios) < 1.5


@pytest.mark.parametrize("grouped", [False, True])
def test_the_order_of_images_does_not_matter_and_the_seed_does(grouped, rng):
    labels = np.arange(60) % 4
    names = np.array(names_of(labels))
    groups = np.array([f"p{row // 3}" for row in range(60)]) if grouped else None
    made = folds(labels, groups=groups).numbers
    order = rng.permutation(60)
    again = folds(labels[order], names=names[order].tolist(), groups=None if groups is None else groups[order])
    np.testing.assert_array_equal(again.numbers, made[order])
    np.testing.assert_array_equal(folds(labels, groups=groups).numbers, made)
    assert (folds(labels, groups=groups, seed=1).numbers != made).any()


def test_another_folder_changes_no_fold():
    labels = np.arange(40) % 3
    moved = [f"/elsewhere/{name}" for name in names_of(labels)]
    np.testing.assert_array_equal(folds(labels, names=moved).numbers, folds(labels).numbers)


def test_images_of_one_class_meet_in_one_fold_as_chance_has_it():
    # Two of six images share one of three folds of two with the chance of 1 in 5: 60 of 300 seeds, ± 7.
    together = sum(numbers[0] == numbers[1] for numbers in (folds([0] * 6, seed=seed).numbers for seed in range(300)))
    assert 60 - 28 <= together <= 60 + 28


def test_full_folds_need_no_notice():
    assert folds([0, 0, 0, 1, 1, 1]).notices == ()


def test_small_classes_are_told():
    made = folds([0] * 6 + [1, 1, 2, 3, 3, 3])
    assert made.numbers[8] == NEVER_HELD_OUT
    assert made.notices == (
        "1 of the 4 classes of 'birds' are never held out, so not scored, the first label 2: they have a single "
        "labelled image, or lie in the group of such an image",
        "1 of the 4 classes of 'birds' are held out in fewer than 3 folds, the first label 1 in 2: the other folds do "
        "not score them",
    )


def test_the_group_of_a_lone_image_is_learned_with_it():
    # Label 2 has one image, in the group "a", with an image of each other class; label 3 is in that group alone.
    labels = [0, 1, 2, 3, 3, 0, 0, 0, 1, 1, 1]
    groups = np.array(list("aaaaabcdbcd"))
    made = folds(labels, groups=groups)
    np.testing.assert_array_equal(made.numbers == NEVER_HELD_OUT, groups == "a")
    assert made.notices[0].startswith("2 of the 4 classes of 'birds' are never held out, so not scored, the first lab")
    # Label 4 is in one group beside "a": without it, what is learned from "a" still has the class.
    made = folds([*labels, 4, 4, 4], groups=np.append(groups, ["a", "b", "b"]))
    assert made.numbers[-1] >= 0


def test_a_class_in_one_group_is_refused_and_so_are_groups_that_two_folds_cannot_divide():
    message = (
        r"groups of each class must be divided over folds, but those "
        r"of 1 classes of 'birds' cannot be, the first label 1: 3 images in 1 group; label images of other groups, or"
    )
    with pytest.raises(ImageSetError, match=message):
        folds([0, 0, 0, 0, 1, 1, 1], groups=np.array(list("abcdaaa")))
    # Each pair of three groups is a class: two folds part the groups one to two, and the two hold a class.
    triangle, groups = [0, 0, 1, 1, 2, 2], np.array(list("abbcca"))
    with pytest.raises(ImageSetError, match=r"of 1 classes .* 2 images in 2 groups"):
        folds(triangle, groups=groups, num_folds=2)
    assert sorted(folds(triangle, groups=groups).numbers) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("num_folds", [-1, 0, 1, 128])
def test_a_number_of_folds_that_cannot_be_is_refused(num_folds):
    with pytest.raises(
        ImageSetError, match=rf"images of 'birds' must be divided into 2 to 127 folds, but .* is {num_folds}; take"
    ):
        folds([0, 0, 1, 1], num_folds=num_folds)


def test_more_folds_than_images_or_groups_are_refused():
    with pytest.raises(ImageSetError, match=r"images of 'birds' that can be held out .* folds, 5, but are 4; lower"):
        folds([0, 0, 1, 1, 2], num_folds=5)
    with pytest.raises(
        ImageSetError, match=r"groups of images of 'birds' .* the folds, 3, but are 2; lower the number"
    ):
        folds([0, 0, 1, 1, 0, 1], groups=np.array(list("abababab")[:6]))
