import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import SelectionInputError, cluster_features


def _blobs(rng, num_images=600, num_blobs=8, dimension=12, spread=0.3):
    centres = 3 * np.eye(dimension)[:num_blobs]
    labels = rng.integers(0, num_blobs, num_images)
    features = centres[labels] + spread * rng.normal(size=(num_images, dimension))
    return (features * rng.uniform(0.1, 10, (num_images, 1))).astype(np.float32), labels


def _unit(features):
    features = np.asarray(features, dtype=np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _check_invariants(clusters, features):
    similarities = _unit(features) @ clusters.directions.T.astype(np.float64)
    own = similarities[np.arange(len(features)), clusters.assignment]
    np.testing.assert_array_less(similarities.max(axis=1) - own, 1e-6)
    np.testing.assert_allclose(np.linalg.norm(clusters.directions, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(clusters.sizes, np.bincount(clusters.assignment, minlength=len(clusters.sizes)))
    assert clusters.sizes.min() >= 1
    assert clusters.inertia[-1] == pytest.approx((1 - own).sum(), abs=1e-6 * len(features))
    means = [features[clusters.assignment == cluster].mean(axis=0) for cluster in range(len(clusters.sizes))]
    np.testing.assert_allclose(clusters.centroids, np.asarray(means), rtol=1e-4, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.integers(1, 6))
def test_every_image_is_with_its_nearest_direction_and_no_cluster_is_empty(seed, first, second, max_iterations):
    num_clusters, num_images = sorted((first, second))
    features = np.random.default_rng(seed).normal(size=(num_images, 3)).astype(np.float32)
    clusters = cluster_features(features, num_clusters=num_clusters, seed=seed, max_iterations=max_iterations)
    _check_invariants(clusters, features)


def test_separate_blobs_come_back(rng):
    features, labels = _blobs(rng)
    best = min(
        (cluster_features(features, num_clusters=8, seed=seed) for seed in range(8)),
        key=lambda clusters: clusters.inertia[-1],
    )
    _check_invariants(best, features)
    pairs = set(zip(labels.tolist(), best.assignment.tolist(), strict=True))
    assert len(pairs) == 8
    assert best.converged
    assert best.centroids.dtype == np.float64
    assert best.assignment.dtype == np.int64


def test_directions_of_a_converged_result_are_the_means_of_their_members(rng):
    features, _ = _blobs(rng)
    clusters = cluster_features(features, num_clusters=5, seed=3, max_iterations=200)
    sums = np.stack([_unit(features)[clusters.assignment == cluster].sum(axis=0) for cluster in range(5)])
    assert clusters.converged
    assert (_unit(sums) * clusters.directions).sum(axis=1).min() > 1 - 1e-3


def test_length_of_features_decides_centroids_but_no_assignment(rng):
    features, _ = _blobs(rng)
    factors = 2.0 ** rng.integers(-3, 4, (len(features), 1))
    first = cluster_features(features, num_clusters=5, seed=0)
    second = cluster_features((features * factors).astype(np.float32), num_clusters=5, seed=0)
    np.testing.assert_array_equal(first.assignment, second.assignment)
    assert np.abs(first.centroids - second.centroids).max() > 0.1


def test_same_seed_gives_the_same_clusters_to_the_bit_and_another_seed_others(rng):
    features, _ = _blobs(rng, spread=2.0)
    first, second, other = (cluster_features(features, num_clusters=20, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.assignment, second.assignment)
    np.testing.assert_array_equal(first.centroids, second.centroids)
    assert first.inertia == second.inertia
    assert (first.assignment != other.assignment).any()


def test_progress_gives_each_iteration_and_an_inertia_that_never_rises(rng):
    features, _ = _blobs(rng, spread=2.0)
    notified = []
    clusters = cluster_features(
        features, num_clusters=10, seed=0, on_iteration=lambda iteration, inertia: notified.append((iteration, inertia))
    )
    assert [iteration for iteration, _ in notified] == list(range(1, len(notified) + 1))
    assert tuple(inertia for _, inertia in notified) == clusters.inertia
    assert len(notified) > 2
    assert (np.diff(clusters.inertia) <= 1e-4).all()


@pytest.mark.parametrize("seed", range(5))
def test_images_given_many_times_leave_no_cluster_empty(rng, seed):
    distinct = rng.normal(size=(30, 4)).astype(np.float32)
    features = np.concatenate([np.repeat(distinct[:1], 500, axis=0), np.repeat(distinct, 3, axis=0)])
    clusters = cluster_features(features, num_clusters=30, seed=seed)
    _check_invariants(clusters, features)
    assert clusters.inertia[-1] < 1e-3


@pytest.mark.parametrize("lengths", [(1.0, 1.0), (0.1, 10.0)])
@pytest.mark.parametrize("copies", [(1, 2), (1500, 1501), (1, 3000)])
def test_copies_are_one_direction_however_many_and_however_long(rng, copies, lengths):
    # Scaled copies differ in the last bit: rounding may neither part them nor hide how few directions there are.
    directions = rng.normal(size=(60, 8))
    labels = rng.permutation(np.repeat(np.arange(60), rng.integers(*copies, 60)))
    features = (directions[labels] * rng.uniform(*lengths, (len(labels), 1))).astype(np.float32)
    clusters = cluster_features(features, num_clusters=60, seed=0)
    assert len(set(zip(labels.tolist(), clusters.assignment.tolist(), strict=True))) == 60
    assert clusters.converged
    assert clusters.inertia[-1] == pytest.approx(0, abs=1e-6 * len(features))
    if len(features) > 60:
        with pytest.raises(SelectionInputError, match="1 of 61 stayed empty: the features point in too few"):
            cluster_features(features, num_clusters=61, seed=0)


@pytest.mark.parametrize("seed", range(30))
def test_images_on_their_centres_have_converged_and_no_inertia_below_zero(seed):
    # In float32 a cosine may exceed 1: an inertia below zero never seems to have converged.
    rng = np.random.default_rng(seed)
    for features, num_clusters in (
        (np.repeat(rng.normal(size=(1, 16)), 50, axis=0), 1),
        (rng.normal(size=(30, 16)), 30),
    ):
        clusters = cluster_features(features.astype(np.float32), num_clusters=num_clusters, seed=0)
        assert clusters.converged
        assert 0 <= min(clusters.inertia) <= max(clusters.inertia) < 1e-4


def test_fewer_directions_than_clusters_are_an_error_with_both_numbers():
    features = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0) * np.arange(1, 31, dtype=np.float32)[:, None]
    with pytest.raises(SelectionInputError, match="1 of 4 stayed empty: the features point in too few"):
        cluster_features(features, num_clusters=4, seed=0)


def test_members_that_cancel_out_keep_their_direction():
    features = np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    clusters = cluster_features(features, num_clusters=1, seed=0)
    assert clusters.sizes.tolist() == [2]
    assert np.isfinite(clusters.directions).all()


def test_as_many_clusters_as_images_give_each_image_its_own(rng):
    features = rng.normal(size=(40, 5)).astype(np.float32)
    clusters = cluster_features(features, num_clusters=40, seed=1)
    assert sorted(clusters.assignment.tolist()) == list(range(40))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_searched_in_float32(rng, dtype):
    features = rng.normal(size=(50, 4)).astype(dtype)
    clusters = cluster_features(features, num_clusters=6, seed=0)
    assert clusters.directions.dtype == np.float32
    assert clusters.sizes.sum() == 50


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, r"finite \(no NaN, no infinity\), but 1 is not: row 3"), (0.0, "zero vector, but 1 is not: row 3")],
)
def test_image_without_a_direction_is_an_error_naming_the_row(value, message):
    features = np.ones((5, 2), dtype=np.float32)
    features[3] = value
    with pytest.raises(SelectionInputError, match=message):
        cluster_features(features, num_clusters=2, seed=0)


@pytest.mark.parametrize(
    ("features", "num_clusters", "max_iterations", "message"),
    [
        (np.ones((3, 2)), 4, 25, "num_clusters is 4 and there are 3 images"),
        (np.ones((3, 2)), 0, 25, "num_clusters is 0"),
        (np.ones((3, 2)), 1, 0, "max_iterations must be at least 1, but is 0"),
        (np.ones(3), 1, 25, r"float64 of shape \(3,\)"),
        (np.ones((3, 2), dtype=int), 1, 25, "int64"),
    ],
)
def test_impossible_demands_are_errors_naming_the_numbers(features, num_clusters, max_iterations, message):
    with pytest.raises(SelectionInputError, match=message):
        cluster_features(features, num_clusters=num_clusters, seed=0, max_iterations=max_iterations)


@pytest.mark.parametrize("seed", [-1, -(2**63)])
def test_a_seed_below_zero_is_an_error(seed):
    with pytest.raises(SelectionInputError, match=f"seed must be at least 0, but is {seed}; give any other"):
        cluster_features(np.ones((3, 2)), num_clusters=1, seed=seed)
