import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import SelectionInputError, select_images


def test_budget_takes_the_best_and_ties_go_by_index():
    selection = select_images([-1.0, 0.5, -1.0, 2.0, -1.0], budget=4)
    assert selection.images.tolist() == [3, 1, 0, 2]
    assert selection.scores.tolist() == [2.0, 0.5, -1.0, -1.0]
    assert selection.margin == 0.0


def test_all_images_leave_no_margin():
    assert select_images([1.0, 2.0], budget=2).margin is None


def test_margin_under_a_cap_is_to_the_best_image_still_allowed():
    selection = select_images([5.0, 4.0, 1.0, 0.5], budget=1, labels=[0, 0, 1, 1], max_per_class=1)
    assert selection.margin == 4.0


def test_tensor_selects_as_an_array_does():
    scores = torch.tensor([0.0, 3.0, 1.0], dtype=torch.float64)
    assert select_images(scores, budget=2).images.tolist() == [1, 2]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-2, 2)), min_size=1, max_size=40), st.integers(1, 5))
def test_cap_agrees_with_taking_one_image_after_the_other(images, cap):
    scores, labels = np.array([image[0] for image in images], float), [image[1] for image in images]
    expected, taken = [], dict.fromkeys(labels, 0)
    for image in sorted(range(len(images)), key=lambda index: (-scores[index], index)):
        if taken[labels[image]] < cap:
            taken[labels[image]] += 1
            expected.append(image)
    selection = select_images(scores, budget=len(expected), labels=labels, max_per_class=cap)
    assert selection.images.tolist() == expected
    assert selection.margin is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 4}, "from 1 to the 3 images, but is 4"),
        ({"budget": 0}, "but is 0"),
        ({"budget": 3, "labels": [0, 0, 1], "max_per_class": 1}, "2 images that a cap of 1 for each class leaves"),
        ({"budget": 1, "max_per_class": 1}, "labels must be given"),
        ({"budget": 1, "labels": [0, 1], "max_per_class": 1}, "labels must be 3 integers"),
        ({"budget": 1, "labels": [0.0, 1.0, 2.0], "max_per_class": 1}, "but are float64"),
        ({"budget": 1, "labels": [0, 1, 2], "max_per_class": 0}, "max_per_class must be at least 1"),
    ],
)
def test_budget_that_cannot_be_met_is_an_error_naming_the_numbers(arguments, message):
    with pytest.raises(SelectionInputError, match=message):
        select_images([1.0, 2.0, 3.0], **arguments)


@pytest.mark.parametrize(("scores", "message"), [([[1.0]], "shape"), ([0.0, np.nan], "that of image 1 is nan")])
def test_scores_must_be_finite_numbers_one_for_each_image(scores, message):
    with pytest.raises(SelectionInputError, match=message):
        select_images(scores, budget=1)
