import numpy as np
import pytest

from pretrieve_selection import IMAGENET_BIRD_CLASSES, LabelSelector, SelectionInputError, SelectionSettings

NAMES = ["n01440764 tench", "n01443537 goldfish", "n01496331 crane", "n03126707 crane", "plain name"]


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


def test_groups_are_found_by_wordnet_id_name_or_both():
    selector = LabelSelector(["n01443537", "tench", "n03126707 crane", "plain name", 2], NAMES)
    assert _select(selector).groups == (1, 0, 3, 4, 2)


def test_list_of_birds_selects_the_birds():
    selection = _select(LabelSelector(IMAGENET_BIRD_CLASSES), top_k=100, num_groups=1000)
    assert selection.groups == IMAGENET_BIRD_CLASSES


@pytest.mark.parametrize(
    ("groups", "names", "message"),
    [
        ([], None, "at least one group"),
        ([1, 2, 1], None, "group 1 is given more often"),
        (["tench", 0], NAMES, "group 0 is given more often"),
        ([-1], None, "index >= 0, but -1 is not"),
        (["tench"], None, "add group_names"),
        (["tensh"], NAMES, r"'tensh' is not; use .* Did you mean 'tench'\?"),
        (["crane"], NAMES, r"belongs to the groups \[2, 3\]"),
        (["name"], NAMES, "'name' is not"),
    ],
)
def test_list_that_breaks_a_rule_is_an_error(groups, names, message):
    with pytest.raises(SelectionInputError, match=message):
        LabelSelector(groups, names)


def test_group_beyond_the_source_is_an_error_with_both_numbers():
    with pytest.raises(SelectionInputError, match="group 5 is not below 5"):
        _select(LabelSelector([1, 5]))
