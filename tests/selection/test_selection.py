import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import Selection, SelectionInputError, rank_groups

scores_with_ties = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


@given(scores_with_ties)
def test_ranking_descends_and_ties_go_by_group_index(scores):
    assert list(rank_groups(scores)) == sorted(range(len(scores)), key=lambda group: (-scores[group], group))


@given(scores_with_ties, st.data())
def test_selection_is_the_beginning_of_the_ranking(scores, data):
    top_k = data.draw(st.integers(1, len(scores)))
    selection = Selection.from_scores("nearest", scores, top_k=top_k)
    assert selection.groups == rank_groups(scores)[:top_k]
    assert (selection.margin is None) == (top_k == len(scores))


def test_margin_is_what_the_last_group_is_ahead_of_the_next():
    assert Selection.from_scores("uot", [1.0, 8.0, 3.0], top_k=1).margin == 5.0


def test_scores_are_a_copy_that_cannot_be_written():
    scores = np.array([1.0, 2.0])
    selection = Selection.from_scores("uot", scores, top_k=1)
    scores[0] = 9.0
    assert selection.scores.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        selection.scores[0] = 9.0


@pytest.mark.parametrize("top_k", [4, 0, -1])
def test_top_k_out_of_range_is_an_error_with_both_numbers(top_k):
    with pytest.raises(SelectionInputError, match=f"top_k is {top_k} and there are 3 groups"):
        Selection.from_scores("uot", [1.0, 2.0, 3.0], top_k=top_k)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_score_that_is_not_finite_is_an_error_naming_the_group(value):
    with pytest.raises(SelectionInputError, match=f"that of group 1 is {value}"):
        rank_groups([0.0, value])


@pytest.mark.parametrize("scores", [[], [[1.0]]])
def test_scores_must_be_one_number_for_each_group(scores):
    with pytest.raises(SelectionInputError, match="one number for each group"):
        rank_groups(scores)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((0, 0), "different indices"),
        ((), "one or more"),
        ((2,), "from 0 to 1, but 2 is not"),
        ((-1,), "from 0 to 1, but -1 is not"),
    ],
)
def test_groups_that_break_a_rule_are_refused(groups, message):
    with pytest.raises(SelectionInputError, match=message):
        Selection("uot", groups, np.array([1.0, 2.0]), None, converged=True, iterations=0)
