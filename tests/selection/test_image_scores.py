"""Scores of single images are those of the selectors with each image as a group of one."""

import numpy as np
import pytest
import torch

from pretrieve_selection import SelectionInputError, SelectionSettings, make_selector, score_images, selectors

PAPER = SelectionSettings()
METHODS = sorted(name for name, selector in selectors().items() if "image" in selector.units)


@pytest.fixture
def features(rng):
    return rng.normal(size=(70, 9)) + 0.5, rng.normal(size=(23, 9)) + 0.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", [PAPER, SelectionSettings(cost="l2", cost_scale=0.1, greedy_cost="cosine")])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_images_score_as_groups_of_one(features, method, settings, kind):
    source, target = features
    found = score_images(
        method, kind(source), kind(target), settings=settings, rng=np.random.default_rng(3), num_threads=2
    )
    expected = make_selector(method).select(source, target, top_k=5, settings=settings, rng=np.random.default_rng(3))
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-9)
    assert found.converged
    assert (found.iterations > 0) == (method == "uot")


@pytest.mark.parametrize("method", ["nearest", "greedy_ot"])
def test_float32_features_cost_no_more_than_rounding(features, method):
    source, target = (side.astype(np.float32) for side in features)
    found = score_images(method, source, target, settings=PAPER, rng=np.random.default_rng(0))
    expected = make_selector(method).select(source, target, top_k=5, settings=PAPER, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=2e-5)


def test_an_iteration_that_ended_early_is_marked(features):
    settings = SelectionSettings(max_iterations=1)
    assert not score_images("uot", *features, settings=settings, rng=np.random.default_rng(0)).converged


def test_a_method_of_groups_alone_is_refused(features):
    with pytest.raises(SelectionInputError, match="must be one that selects single images, but is 'label'"):
        score_images("label", *features, settings=PAPER, rng=np.random.default_rng(0))


def test_a_selector_of_groups_alone_scores_no_images(features):
    selector = make_selector("label", label_groups=[0])
    with pytest.raises(SelectionInputError, match="must define score_images, but 'label' does not; choose another"):
        selector.score_images(*features, settings=PAPER, rng=np.random.default_rng(0))
