from __future__ import annotations

import numpy as np
import pytest

from pretrieve.paper.recall_ablations import recall_over_cost_scale
from pretrieve_selection import (
    IMAGENET_BIRD_CLASSES,
    SelectionInputError,
    SelectionSettings,
    make_selector,
    recall_at_k,
)

COLUMNS = ["cost", "cost_scale", "recall", "margin", "converged", "iterations"]
TWO = SelectionSettings(top_k=2)


def test_a_sharp_cost_finds_the_home_of_a_lonely_class_and_a_blunt_one_does_not(lonely_class):
    ablation = recall_over_cost_scale(*lonely_class, [4], cost_scales=[0.01, 10.0], costs=["cosine"], settings=TWO)
    assert ablation.table["recall"].tolist() == [1.0, 0.0]


def test_rows_are_what_the_selector_says_for_each_cost_and_ascending_scale(lonely_class):
    settings = SelectionSettings(top_k=2, source_penalty=2.0, entropy_weight=0.5)
    table = recall_over_cost_scale(*lonely_class, [0, 4], cost_scales=[1.0, 0.1, 1.0], settings=settings).table
    assert table.columns.tolist() == COLUMNS
    assert table[["cost", "cost_scale"]].values.tolist() == [
        ["cosine", 0.1], ["cosine", 1.0], ["l2", 0.1], ["l2", 1.0]
    ]  # fmt: skip
    for row in table.to_dict("records"):
        varied = SelectionSettings(
            top_k=2, source_penalty=2.0, entropy_weight=0.5, cost=row["cost"], cost_scale=row["cost_scale"]
        )
        selection = make_selector("uot").select(*lonely_class, top_k=2, settings=varied, rng=np.random.default_rng(0))
        expected = [
            recall_at_k(selection, [0, 4]), selection.margin, selection.converged, selection.iterations
        ]  # fmt: skip
        assert [row[column] for column in COLUMNS[2:]] == expected


def test_where_all_groups_are_selected_all_are_found_without_a_margin(lonely_class):
    table = recall_over_cost_scale(
        *lonely_class, [3], cost_scales=[0.1], costs=["l2"], settings=SelectionSettings(top_k=6)
    ).table
    assert table["recall"].tolist() == [1.0]
    assert table["margin"].isna().all()


def test_a_line_a_cost_is_drawn_in_percent_over_the_logarithm_of_the_scale(lonely_class):
    figure = recall_over_cost_scale(*lonely_class, [4], cost_scales=[0.01, 10.0], settings=TWO).figure
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["cosine", "l2"]
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[0.01, 100.0], [10.0, 0.0]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01", "10"]


def test_an_iteration_that_ended_early_is_marked_in_table_and_figure(lonely_class):
    hasty = SelectionSettings(top_k=2, max_iterations=1)
    ablation = recall_over_cost_scale(*lonely_class, [0], cost_scales=[0.01], costs=["l2"], settings=hasty)
    assert ablation.table["converged"].tolist() == [False]
    assert ablation.figure.axes[0].lines[-1].get_label() == "unconverged"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": []}, "costs must hold at least one word, but is empty: use 'cosine' or 'l2'"),
        ({"costs": ["cosin"]}, r"costs must not hold 'cosin': .*Did you mean 'cosine'"),
        ({"costs": "cosine"}, r"costs must be a list, but is the single word 'cosine'; write \['cosine'\]"),
        ({"cost_scales": []}, "cost_scales must hold at least one number, but is empty"),
        ({"cost_scales": [0.1, 0.0]}, "cost_scales must be finite numbers > 0, but number 1 of them is 0.0"),
        ({"cost_scales": [float("nan")]}, "cost_scales must be finite .* is nan"),
        ({"cost_scales": ["0.1"]}, "cost_scales must be finite .* is '0.1'"),
        ({"expected_ids": []}, "expected_ids must hold at least one id, but is empty"),
        ({"expected_ids": [0, 6]}, "expected_ids must be from 0 to 5, but 6 is not"),
        ({"expected_ids": [-1]}, "expected_ids must be from 0 to 5, but -1 is not"),
        ({"expected_ids": ["tench"]}, "expected_ids must be integers, but are <U5"),
        ({"settings": SelectionSettings(top_k=7)}, "top_k is 7 and there are 6 groups"),
        ({"target_centroids": [[1.0, 0.0, 0.0]]}, "the source has 2 and the target 3"),
    ],
)
def test_bad_input_is_refused_with_rule_value_place_and_remedy(lonely_class, changes, message):
    source, target = lonely_class
    given = {
        "source_centroids": source, "target_centroids": target, "expected_ids": [0], "cost_scales": [0.1],
        "settings": TWO,
    }  # fmt: skip
    with pytest.raises(SelectionInputError, match=message):
        recall_over_cost_scale(**given | changes)


@pytest.mark.parametrize(
    ("backbone", "cosine_percent", "l2_percent"),
    [("resnet18_supervised", 98.31, 94.92), ("resnet50_moco_v2", 93.22, 16.95)],
)
def test_sweep_over_the_real_birds_passes_through_table_4(birds, backbone, cosine_percent, l2_percent):
    table = recall_over_cost_scale(*birds(backbone), IMAGENET_BIRD_CLASSES, cost_scales=[0.001, 0.01, 0.1, 1.0]).table
    percent = (100 * table.set_index(["cost", "cost_scale"])["recall"]).round(2)
    assert percent["cosine", 0.01] == cosine_percent
    assert percent["l2", 0.1] == l2_percent
    assert table["converged"].all()


def test_only_the_self_supervised_backbone_is_sensitive_to_the_scale_as_figure_4a_says(birds):
    scales = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    supervised, self_supervised = (
        recall_over_cost_scale(*birds(backbone), IMAGENET_BIRD_CLASSES, cost_scales=scales, costs=["cosine"]).table
        for backbone in ("resnet18_supervised", "resnet50_moco_v2")
    )
    assert supervised["recall"].min() > 0.94
    small = self_supervised["cost_scale"] <= 0.03
    assert self_supervised["recall"][small].min() > 0.93
    assert self_supervised["recall"].iloc[-1] < 0.55
