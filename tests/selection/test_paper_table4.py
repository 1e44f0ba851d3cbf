"""The numbers of the paper, and every expected selection of the real centroids."""

import json

import numpy as np
import pytest

from pretrieve_selection import IMAGENET_BIRD_CLASSES, SelectionSettings, make_selector, recall_at_k

TARGETS = ("cub", "dtd", "pets", "caltech101")


@pytest.fixture(scope="session")
def expected_selections(class_means_folder):
    return json.loads((class_means_folder / "expected_selection.json").read_text(encoding="utf-8"))


def _select(means, method, settings):
    return make_selector(method).select(
        means.source,
        means.target,
        top_k=settings.top_k,
        settings=settings,
        rng=np.random.default_rng(0),
        source_names=means.source_names,
    )


@pytest.mark.parametrize(
    ("backbone", "method", "settings", "recall_percent"),
    [
        ("resnet18_supervised", "greedy_ot", SelectionSettings(greedy_cost="l2"), 86.44),
        ("resnet18_supervised", "greedy_ot", SelectionSettings(greedy_cost="cosine"), 94.92),
        ("resnet18_supervised", "uot", SelectionSettings(cost="l2", cost_scale=0.1), 94.92),
        ("resnet18_supervised", "uot", SelectionSettings(cost="cosine", cost_scale=0.01), 98.31),
        ("resnet50_moco_v2", "greedy_ot", SelectionSettings(greedy_cost="l2"), 16.95),
        ("resnet50_moco_v2", "greedy_ot", SelectionSettings(greedy_cost="cosine"), 38.98),
        ("resnet50_moco_v2", "uot", SelectionSettings(cost="l2", cost_scale=0.1), 16.95),
        ("resnet50_moco_v2", "uot", SelectionSettings(cost="cosine", cost_scale=0.01), 93.22),
    ],
)
def test_recall_of_birds_is_that_of_table_4(load_class_means, backbone, method, settings, recall_percent):
    selection = _select(load_class_means(backbone, "cub"), method, settings)
    assert round(100 * recall_at_k(selection, IMAGENET_BIRD_CLASSES), 2) == recall_percent


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("cost_scale", [0.01, 0.1])
def test_uot_gives_the_expected_top_100_in_rank_order(
    load_class_means, expected_selections, backbone, target, cost_scale
):
    expected = expected_selections[f"{backbone}/{target}/uot_cos/{cost_scale}"]
    selection = _select(load_class_means(backbone, target), "uot", SelectionSettings(cost_scale=cost_scale))
    assert list(selection.groups) == expected["top100"]
    masses = np.exp(selection.scores)
    np.testing.assert_allclose(masses[expected["top100"]], expected["mass_top"], rtol=0, atol=6e-9)
    assert masses.sum() == pytest.approx(expected["total_mass"], abs=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("key", "cost"), [("greedy_l2", "l2"), ("greedy_cos", "cosine")])
def test_greedy_ot_gives_the_expected_top_100_in_rank_order(
    load_class_means, expected_selections, backbone, target, key, cost
):
    selection = _select(load_class_means(backbone, target), "greedy_ot", SelectionSettings(greedy_cost=cost))
    assert list(selection.groups) == expected_selections[f"{backbone}/{target}/{key}"]["top100"]
