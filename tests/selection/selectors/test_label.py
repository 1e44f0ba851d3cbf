import numpy as np
import pytest

from pretrieve_selection import IMAGENET_BIRD_CLASSES, SelectionInputError, SelectionSettings
from pretrieve_selection.selectors.label import LabelSelector


def _select(selector, top_k=5, num_groups=5):
    source, target = np.ones((num_groups, 2)), np.ones((1, 2))
    rng = np.random.default_rng(0)
    return selector.select(source, target, top_k=top_k, settings=SelectionSettings(), rng=rng)


def test_given_groups_are_selected_in_the_given_order_and_no_others():
    selection = _select(LabelSelector([3, 0, 2]))
    assert selection.groups == (3, 0, 2)
    assert selection.scores.tolist() == [2.0, 0.0, 1.0, 3.0, 0.0]
    assert selection.margin == 1.0


def test_smaller_top_k_selects_the_beginning_of_the_list():
    assert _select(LabelSelector([3, 0, 2]), top_k=2).groups == (3, 0)


def test_list_of_birds_selects_the_birds():
    selection = _select(LabelSelector(IMAGENET_BIRD_CLASSES), top_k=100, num_groups=1000)
    assert selection.groups == IMAGENET_BIRD_CLASSES


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "at least one group"),
        ([1, 2, 1], "group 1 is given more often"),
        ([-1], "index >= 0, but -1 is not"),
    ],
)
def test_list_that_breaks_a_rule_is_an_error(groups, message):
    with pytest.raises(SelectionInputError, match=message):
        LabelSelector(groups)


def test_group_beyond_the_source_is_an_error_with_both_numbers():
    with pytest.raises(SelectionInputError, match="group 5 is not below 5"):
        _select(LabelSelector([1, 5]))
