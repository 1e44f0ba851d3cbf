"""The contract of every selector."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrieve.testing.selectors import check_selector
from pretrieve_selection import SelectionInputError, SelectionSettings, make_selector, selectors

LABEL_GROUPS = (4, 1, 7)


def _make(name):
    return make_selector(name, **({"label_groups": LABEL_GROUPS} if name == "label" else {}))


def _select(name, source, target, *, top_k=2, seed=0, **options):
    rng = np.random.default_rng(seed)
    return _make(name).select(source, target, top_k=top_k, settings=SelectionSettings(), rng=rng, **options)


@pytest.fixture(params=sorted(selectors()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def centroids(rng):
    return rng.normal(size=(8, 5)), rng.normal(size=(3, 5))


def test_registry_knows_it_by_its_name(name):
    assert selectors()[name].name == name
    assert not inspect.isabstract(selectors()[name])


def test_it_keeps_the_contract(name):
    check_selector(_make(name))


@pytest.mark.parametrize("name", ["greedy_ot", "label", "nearest", "random"])
def test_what_has_no_iteration_counts_none(name, centroids):
    assert _select(name, *centroids).iterations == 0


@pytest.mark.parametrize("name", ["uot", "greedy_ot", "nearest"])
@given(order=st.permutations(range(8)), seed=st.integers(0, 2**32 - 1))
def test_permuting_groups_permutes_the_selection(name, order, seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(8, 5)), rng.normal(size=(3, 5))
    selection = _select(name, source, target, top_k=3)
    permuted = _select(name, source[order], target, top_k=3)
    assert [order[group] for group in permuted.groups] == list(selection.groups)


def test_one_group_is_selected_and_has_no_margin(centroids):
    source, target = centroids
    for name in set(selectors()) - {"label"}:
        selection = _select(name, source[:1], target, top_k=1)
        assert selection.groups == (0,)
        assert selection.margin is None


def test_one_target_class_is_enough(name, centroids):
    source, target = centroids
    assert len(_select(name, source, target[:1]).groups) == 2


@pytest.mark.parametrize("name", ["uot", "greedy_ot", "nearest"])
def test_equal_groups_are_ranked_by_index(name, centroids):
    source, target = centroids
    assert _select(name, np.tile(source[:1], (6, 1)), target, top_k=4).groups == (0, 1, 2, 3)


@pytest.mark.parametrize("name", ["uot", "nearest"])
def test_target_class_given_twice_leaves_one_shared_ranking_of_exact_matches(name, centroids):
    source, _ = centroids
    target = source[[5, 2, 2]]
    assert set(_select(name, source, target).groups) == {2, 5}


def test_more_groups_than_there_are_is_an_error_with_both_numbers(name, centroids):
    with pytest.raises(SelectionInputError, match="top_k is 9 and there are 8 groups"):
        _select(name, *centroids, top_k=9)


@pytest.mark.parametrize(("side", "position"), [("source", 0), ("target", 1)])
def test_nan_is_an_error_that_names_the_row_and_its_group(name, centroids, side, position):
    centroids[position][2, 1] = np.nan
    names = {f"{side}_names": [f"class {row}" for row in range(len(centroids[position]))]}
    with pytest.raises(SelectionInputError, match=rf"row 2 of the {side} \(group 'class 2'\)"):
        _select(name, *centroids, **names)


def test_different_dimensions_are_an_error(name, centroids):
    source, target = centroids
    with pytest.raises(SelectionInputError, match="source has 5 and the target 4"):
        _select(name, source, target[:, :4])


def test_unknown_method_is_an_error_with_the_nearest_word(name):
    with pytest.raises(SelectionInputError, match=rf"is '{name}x'.*Did you mean '{name}'"):
        make_selector(f"{name}x")


def test_label_needs_its_groups():
    with pytest.raises(SelectionInputError, match="'label' must be given label_groups, but is not"):
        make_selector("label")


def test_groups_for_another_method_than_label_are_an_error():
    with pytest.raises(SelectionInputError, match="of 'uot' must be known, but 'label_groups' is not; it has none"):
        make_selector("uot", label_groups=[1])
