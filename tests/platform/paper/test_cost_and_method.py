from __future__ import annotations

import numpy as np
import pytest

from pretrieve.paper.recall_ablations import recall_by_cost_and_method
from pretrieve_selection import IMAGENET_BIRD_CLASSES, SelectionInputError, SelectionSettings

TWO = SelectionSettings(top_k=2)


@pytest.fixture
def long_vector():
    """Group 0 has the target's direction but another length; group 1 is nearer in space."""
    return np.array([[10.0, 0.0], [1.0, 1.0], [-1.0, 0.5]]), np.array([[1.0, 0.0], [1.0, 0.1]])


def test_table_4_comes_out_exactly(birds):
    problems = {"Sup.": birds("resnet18_supervised"), "Self Sup.": birds("resnet50_moco_v2")}
    table = recall_by_cost_and_method(problems, IMAGENET_BIRD_CLASSES).table
    assert table[["problem", "method", "cost"]].values.tolist() == [
        [problem, method, cost]
        for problem in ("Sup.", "Self Sup.")
        for method in ("greedy_ot", "uot")
        for cost in ("l2", "cosine")
    ]
    assert (100 * table["recall"]).round(2).tolist() == [86.44, 94.92, 94.92, 98.31, 16.95, 38.98, 16.95, 93.22]


def test_each_method_reads_the_cost_of_its_row(long_vector):
    table = recall_by_cost_and_method(
        {"one": long_vector}, [0], methods=["greedy_ot", "uot", "nearest"], settings=SelectionSettings(top_k=1)
    ).table
    assert table["recall"].tolist() == [0.0, 1.0] * 3


def test_only_uot_reads_the_cost_scale_of_its_cost(lonely_class):
    scales = {"cosine": 10.0, "l2": 0.01}
    table = recall_by_cost_and_method({"one": lonely_class}, [4], cost_scales=scales, settings=TWO).table
    np.testing.assert_array_equal(table["cost_scale"], [np.nan, np.nan, 0.01, 10.0])
    assert table["recall"].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_problems_may_differ_in_their_groups_and_dimensions(lonely_class):
    other = (np.eye(3), np.eye(3)[:1])
    table = recall_by_cost_and_method(
        {"plane": lonely_class, "space": other}, [0], costs=["l2"], settings=SelectionSettings(top_k=1)
    ).table
    assert table["problem"].tolist() == ["plane", "plane", "space", "space"]
    assert table["recall"].tolist()[2:] == [1.0, 1.0]


def test_methods_without_uot_need_no_cost_scale(lonely_class):
    table = recall_by_cost_and_method(
        {"one": lonely_class}, [0], methods=["nearest"], cost_scales={}, settings=TWO
    ).table
    assert table["cost_scale"].isna().all()


def test_each_method_and_cost_has_dots_of_its_own_shape_on_the_rows_of_the_problems(lonely_class):
    problems = {"first": lonely_class, "a name that goes on for longer than the axes are wide": lonely_class}
    figure = recall_by_cost_and_method(problems, [4], settings=TWO).figure
    (axes,) = figure.axes
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["greedy_ot, l2", "greedy_ot, cosine", "uot, l2", "uot, cosine"]
    assert len({line.get_marker() for line in axes.lines}) == 4
    greedy_l2, *_, uot_cosine = axes.lines
    assert greedy_l2.get_xdata().tolist() == [0.0, 0.0]
    assert uot_cosine.get_xdata().tolist() == [100.0, 100.0]
    assert [round(height) for height in uot_cosine.get_ydata()] == [0, 1]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["first", "a name that goes on for longe…"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": {}}, r"problems must hold at least one, but is empty; give name → \(source, target\)"),
        ({"methods": []}, "methods must hold at least one word, but is empty"),
        ({"methods": ["random"]}, "methods must not hold 'random': use 'greedy_ot', 'uot' or 'nearest'"),
        ({"costs": []}, "costs must hold at least one word, but is empty"),
        ({"costs": ["l1"]}, "costs must not hold 'l1': use 'cosine' or 'l2'"),
        ({"cost_scales": {"cosine": 0.01}}, "must have a scale for each cost, but lacks 'l2' .*; add 'l2': 0.1"),
        ({"cost_scales": {"cosine": -1, "l2": 1}}, r"cost_scales\['cosine'\] must be finite numbers > 0, .* is -1"),
        ({"expected_ids": []}, "expected_ids must hold at least one id"),
        ({"expected_ids": [7]}, "problem 'one': expected_ids must be from 0 to 5, but 7 is not"),
        ({"settings": SelectionSettings()}, "problem 'one': top_k must be .* top_k is 100 and there are 6 groups"),
        ({"problems": {"flat": ([[1.0, np.nan]], [[1.0, 0.0]])}}, "problem 'flat': .* finite .* row 0 of the source"),
    ],
)
def test_bad_input_is_refused_with_rule_value_place_and_remedy(lonely_class, changes, message):
    given = {"problems": {"one": lonely_class}, "expected_ids": [0], "settings": TWO}
    with pytest.raises(SelectionInputError, match=message):
        recall_by_cost_and_method(**given | changes)
