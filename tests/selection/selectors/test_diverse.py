import numpy as np
import pytest

from pretrieve_selection import (
    IMAGENET_BIRD_CLASSES,
    SelectionInputError,
    SelectionSettings,
    make_selector,
    recall_at_k,
)
from pretrieve_selection.selectors.diverse import DiverseSelector


def _select(source, target, *, top_k, settings=None, name="diverse", **own):
    rng, settings = np.random.default_rng(0), settings or SelectionSettings()
    return make_selector(name, **own).select(source, target, top_k=top_k, settings=settings, rng=rng)


@pytest.mark.parametrize("cost", ["cosine", "l2"])
@pytest.mark.parametrize("diversity", [0.5, 20.0])
def test_it_is_the_greedy_choice_by_brute_force(rng, cost, diversity):
    source, target = rng.normal(size=(12, 3)), rng.normal(size=(3, 3))
    settings = SelectionSettings(cost=cost, cost_scale=0.1)
    masses = _select(source, target, top_k=1, settings=settings, name="uot").scores
    chosen, values = [], []
    for _ in range(12):
        best = {}
        for group in set(range(12)) - set(chosen):
            cosines = [
                source[group] @ source[j] / np.linalg.norm(source[group]) / np.linalg.norm(source[j]) for j in chosen
            ]
            best[group] = masses[group] - diversity * max([0.0, *cosines])
        chosen.append(max(best, key=best.get))
        values.append(best[chosen[-1]])
    selection = _select(source, target, top_k=12, settings=settings, diversity=diversity)
    assert list(selection.groups) == chosen
    np.testing.assert_allclose(selection.scores[chosen], values, rtol=0, atol=1e-9)
    assert selection.converged
    assert selection.iterations > 0


def test_without_diversity_it_is_uot_to_the_bit(rng):
    source, target = rng.normal(size=(30, 6)), rng.normal(size=(4, 6))
    plain, diverse = _select(source, target, top_k=9, name="uot"), _select(source, target, top_k=9, diversity=0)
    np.testing.assert_equal(vars(diverse), vars(plain) | {"method": "diverse"})


def test_a_copy_of_a_chosen_group_counts_with_its_mass_times_exp_of_minus_diversity():
    source = np.array([[1.0, 0.1], [2.0, 0.2], [0.9, 0.5]])
    selection = _select(source, [[1.0, 0.0]], top_k=2, diversity=3.0, settings=SelectionSettings(cost_scale=1.0))
    assert selection.groups == (0, 2)
    assert selection.scores[0] - selection.scores[1] == pytest.approx(3.0, abs=1e-12)


def test_on_real_centroids_groups_resemble_each_other_less_and_most_birds_are_found(load_class_means, backbone):
    """A bird class with many near relatives among those chosen gives way to one that has none."""
    means = load_class_means(backbone, "cub")
    unit = means.source / np.linalg.norm(means.source, axis=1, keepdims=True)
    nearest, recalls = [], []
    for diversity in (0.0, 10.0, 30.0):
        selection = _select(means.source, means.target, top_k=100, diversity=diversity)
        cosines = unit[list(selection.groups)] @ unit[list(selection.groups)].T
        np.fill_diagonal(cosines, -1.0)
        nearest.append(cosines.max(axis=1).mean())
        recalls.append(recall_at_k(selection, IMAGENET_BIRD_CLASSES))
    assert nearest[0] > nearest[1] > nearest[2]
    assert recalls[0] >= recalls[1] > 0.85


@pytest.mark.parametrize("diversity", [-1.0, float("nan"), float("inf")])
def test_a_diversity_out_of_range_is_an_error(diversity):
    with pytest.raises(SelectionInputError, match=r"diversity must be finite and >= 0, but is .*; 0 selects as uot"):
        DiverseSelector(diversity)


def test_a_group_without_a_direction_is_an_error_that_names_it():
    settings = SelectionSettings(cost="l2")
    with pytest.raises(SelectionInputError, match="zero vector to have a cosine, but 1 is not: row 1 of the source"):
        _select([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]], top_k=1, settings=settings)
