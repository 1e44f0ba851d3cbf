"""What a selector may read of the images in the groups: features, groups, and their moments."""

import tracemalloc

import numpy as np
import pytest
from sklearn.covariance import empirical_covariance

from pretrieve_selection import GroupedFeatures, Selection, SelectionInputError, SelectionSettings, Selector
from pretrieve_selection.sides import _ENTRIES_AT_ONCE

GROUPS = np.array([0, 2, 1, 0, 2, 2, 0, 1, 1, 0])


class Reader(Selector):
    """Read something of both sides and give it to the test."""

    name = "reader"

    def __init__(self, *needs, reads):
        self.needs, self._reads = needs, reads

    def _select(self, problem, *, top_k, settings, rng):
        self.read = [self._reads(side) for side in (problem.source, problem.target)]
        return Selection.from_scores(self.name, np.zeros(problem.source.num_groups), top_k=top_k)

    def run(self, centroids, **given):
        rng, settings = np.random.default_rng(0), SelectionSettings()
        self.select(centroids, centroids, top_k=1, settings=settings, rng=rng, **given)
        return self.read


@pytest.fixture
def images(rng):
    return GroupedFeatures(rng.normal(size=(10, 4)), GROUPS)


@pytest.fixture
def centroids(images):
    return images.moments(3).means


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_moments_are_those_of_numpy_and_scikit_learn(rng, dtype):
    # A mean of 1000 and a spread of 1: Σx² − (Σx)² of float32 features would leave no digit of the variance.
    features = (1000 + rng.normal(size=(10, 4))).astype(dtype)
    moments = GroupedFeatures(features, GROUPS).moments(3)
    exact = features.astype(np.float64)
    members = [exact[group == GROUPS] for group in range(3)]
    assert moments.counts.tolist() == [4, 3, 3]
    np.testing.assert_allclose(moments.means, [each.mean(axis=0) for each in members], rtol=1e-13)
    np.testing.assert_allclose(moments.variances, [each.var(axis=0) for each in members], rtol=1e-9)
    deviations = exact - moments.means[GROUPS]
    pooled = empirical_covariance(deviations, assume_centered=True)
    np.testing.assert_allclose(moments.covariance, pooled, rtol=1e-9, atol=1e-12)
    assert {each.dtype.name for each in (moments.means, moments.variances, moments.covariance)} == {"float64"}


def test_a_large_mapped_matrix_is_read_in_blocks_of_bounded_memory(tmp_path, rng):
    num_images, dimension = 80_000, 256  # 82 MB of float32, 5 blocks
    matrix = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.float32, (num_images, dimension))
    for start in range(0, num_images, 10_000):
        matrix[start : start + 10_000] = rng.normal(size=(10_000, dimension))
    matrix.flush()
    mapped = np.load(tmp_path / "m.npy", mmap_mode="r")
    groups = np.arange(num_images) % 7
    tracemalloc.start()
    moments = GroupedFeatures(mapped, groups).moments(7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 8 * _ENTRIES_AT_ONCE
    np.testing.assert_allclose(moments.means[3], np.asarray(mapped[3::7], dtype=np.float64).mean(axis=0), atol=1e-9)
    pooled = np.average(moments.variances, axis=0, weights=moments.counts)
    np.testing.assert_allclose(np.diag(moments.covariance), pooled, rtol=1e-9)


def test_a_group_of_one_image_has_no_variance():
    assert GroupedFeatures(np.array([[3.0]]), np.array([0])).moments(1).variances.tolist() == [[0.0]]


def test_a_selector_reads_what_it_lists(images, centroids):
    given = {"source_features": images, "target_features": images}
    source, target = Reader("features", reads=lambda side: (side.features, side.groups)).run(centroids, **given)
    assert source[0] is images.features
    assert target[1] is images.groups
    moments, _ = Reader("moments", reads=lambda side: side.moments).run(centroids, **given)
    np.testing.assert_array_equal(moments.means, centroids)
    names = {"source_names": list("abc"), "target_names": list("xyz")}
    assert Reader("names", reads=lambda side: list(side.names)).run(centroids, **names) == [list("abc"), list("xyz")]


@pytest.mark.parametrize("need", ["features", "moments", "names"])
def test_something_needed_that_is_not_given_is_an_error_before_the_selector_runs(centroids, need):
    def fail(side):
        raise AssertionError("ran")

    argument = "source_names" if need == "names" else "source_features"
    with pytest.raises(SelectionInputError, match=rf"'reader' must .* lacks {need} of the source; give {argument}"):
        Reader(need, reads=fail).run(centroids)


@pytest.mark.parametrize("what", ["centroids", "features", "groups", "moments", "names"])
def test_reading_what_is_not_listed_is_an_error_even_where_it_is_given(images, centroids, what):
    given = {"source_features": images, "target_features": images, "source_names": "abc", "target_names": "abc"}
    with pytest.raises(SelectionInputError, match=r"must list what it reads in `needs`, but reads \w+ of the source"):
        Reader(reads=lambda side: getattr(side, what)).run(centroids, **given)


@pytest.mark.parametrize(
    ("features", "groups", "message"),
    [
        (np.ones((10, 3)), GROUPS, "features of the source must have the 4 dimensions .* but have 3"),
        (np.ones((10, 4)), GROUPS + 1, "must be from 0 to 2, but that of row 1 of the source is 3"),
        (np.ones((10, 4)), GROUPS - 1, "must be from 0 to 2, but that of row 0 of the source is -1"),
    ],
)
def test_features_that_do_not_fit_the_centroids_are_an_error(centroids, features, groups, message):
    images = GroupedFeatures(features, groups)
    with pytest.raises(SelectionInputError, match=message):
        Reader(reads=len).run(centroids, source_features=images)


@pytest.mark.parametrize(
    ("features", "groups", "message"),
    [
        (np.ones(10), GROUPS, "features must be a floating-point"),
        (np.ones((10, 4), dtype=int), GROUPS, "features must be a floating-point"),
        (np.ones((10, 4)), GROUPS[:9], "labels must be 10 integers"),
        (np.ones((10, 4)), GROUPS.astype(float), "labels must be 10 integers"),
    ],
)
def test_features_and_groups_that_are_none_are_an_error(features, groups, message):
    with pytest.raises(SelectionInputError, match=message):
        GroupedFeatures(features, groups)


def test_moments_of_an_empty_group_or_of_features_that_are_not_finite_are_an_error(images):
    with pytest.raises(SelectionInputError, match="every group must have at least one feature, but 1 of 4"):
        images.moments(4)
    images.features[2, 0] = np.nan
    with pytest.raises(SelectionInputError, match=r"must be finite, but those of row 2 \(group 1\)"):
        images.moments(3)
