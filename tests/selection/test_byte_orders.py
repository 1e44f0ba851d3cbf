"""Arrays of another byte order (FITS, HDF5, `.npy` of other machines) give to the bit what those of this one give."""

import numpy as np
import pytest
import torch

from pretrieve_selection import (
    CentroidSums,
    SelectionSettings,
    cluster_features,
    make_selector,
    score_images,
    select_images,
    solve_image_transport,
    solve_unbalanced_transport,
)


@pytest.fixture(params=[("<f8", ">f8"), ("<f4", ">f4"), ("<f2", ">f2"), ("<f8", np.longdouble)], ids=str)
def in_two_kinds(request, rng):
    """Draw a source and a target, in the order of most machines and in another kind with the same values."""
    first, second = request.param
    sides = [rng.uniform(0.1, 1, (number, 16)).astype(first) for number in (60, 9)]
    return sides, [side.astype(second) for side in sides]


@pytest.mark.parametrize("method", ["uot", "greedy_ot", "random", "nearest"])
def test_images_score_alike(in_two_kinds, method):
    first, second = (
        score_images(method, *sides, settings=SelectionSettings(), rng=np.random.default_rng(0))
        for sides in in_two_kinds
    )
    np.testing.assert_array_equal(second.scores, first.scores)
    assert (second.converged, second.iterations) == (first.converged, first.iterations)


def test_float64_of_any_order_is_computed_in_float64(rng):
    source, target = rng.uniform(0.1, 1, (60, 16)), rng.uniform(0.1, 1, (9, 16))
    groups = make_selector("uot").select(source, target, top_k=1, settings=SelectionSettings(), rng=rng)
    for dtype in ("<f8", ">f8", np.longdouble):
        images = solve_image_transport(source.astype(dtype), target.astype(dtype))
        np.testing.assert_allclose(images.log_source_marginal, groups.scores, rtol=0, atol=1e-10)


def test_groups_clusters_and_centroids_are_alike(in_two_kinds):
    (source, _), (other_source, _) = in_two_kinds
    first, second = (
        make_selector("uot").select(*sides, top_k=5, settings=SelectionSettings(), rng=np.random.default_rng(0))
        for sides in in_two_kinds
    )
    np.testing.assert_array_equal(second.scores, first.scores)
    clusters, other_clusters = (cluster_features(each, num_clusters=7, seed=0) for each in (source, other_source))
    np.testing.assert_array_equal(other_clusters.assignment, clusters.assignment)
    np.testing.assert_array_equal(other_clusters.centroids, clusters.centroids)
    sums, other_sums = CentroidSums(2, 16), CentroidSums(2, 16)
    sums.add(source, np.arange(60, dtype="<i4") % 2)
    other_sums.add(other_source, np.arange(60, dtype=">i4") % 2)
    np.testing.assert_array_equal(other_sums.means(), sums.means())


@pytest.mark.parametrize("dtype", [">f8", ">f4", np.longdouble])
def test_masses_beside_a_tensor_are_taken(dtype):
    cost, mass = torch.tensor([[1.0], [2.0]]), np.array([1.0, 2.0])
    first, second = (solve_unbalanced_transport(cost, source_mass=each) for each in (mass, mass.astype(dtype)))
    assert second.log_source_marginal.tolist() == first.log_source_marginal.tolist()


def test_scores_and_labels_select_alike():
    scores, labels = np.array([3.0, 2.0, 1.0]), np.array([0, 0, 1])
    found = select_images(scores.astype(">f8"), budget=2, labels=labels.astype(">i8"), max_per_class=1)
    assert found.images.tolist() == select_images(scores, budget=2, labels=labels, max_per_class=1).images.tolist()


def test_features_laid_out_as_torch_cannot_have_them_are_taken(rng):
    table = np.zeros(20, dtype=[("label", "i1"), ("features", "f8", 4)])
    table["features"] = rng.normal(size=(20, 4))
    inside, target = table["features"], rng.normal(size=(3, 4))
    expected = solve_image_transport(inside.copy(), target).log_source_marginal
    np.testing.assert_array_equal(solve_image_transport(inside, target).log_source_marginal, expected)
    backwards = solve_image_transport(inside[::-1], target).log_source_marginal[::-1]
    np.testing.assert_allclose(backwards, expected, rtol=0, atol=1e-12)
