import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import CentroidSums, SelectionInputError


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_parts_give_the_raw_averages(seed, num_parts):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(60, 3)).astype(np.float32)
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, size=56)])
    total = CentroidSums(4, 3)
    for rows in np.array_split(rng.permutation(60), num_parts):
        total.add(features[rows], labels[rows])
    expected = [features[labels == group].astype(np.float64).mean(axis=0) for group in range(4)]
    np.testing.assert_allclose(total.means(), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(total.counts(), np.bincount(labels))


def test_float32_features_are_summed_in_float64():
    sums = CentroidSums(1, 1)
    for _ in range(3):
        sums.add(np.array([[2.0**24], [1.0]], dtype=np.float32), [0, 0])
    assert sums.means()[0, 0] == (2.0**24 + 1) / 2


def test_batch_without_rows_adds_nothing():
    sums = CentroidSums(1, 2)
    sums.add(np.ones((1, 2)), [0])
    sums.add(np.empty((0, 2)), [])
    assert sums.counts().tolist() == [1]


def test_counts_are_a_copy():
    sums = CentroidSums(1, 1)
    sums.add(np.ones((2, 1)), [0, 0])
    sums.counts()[0] = 7
    assert sums.counts()[0] == 2


def test_empty_groups_are_an_error_that_names_them():
    sums = CentroidSums(9, 1)
    sums.add(np.ones((1, 1)), [2])
    with pytest.raises(SelectionInputError, match=r"8 of 9 have none: 0, 1, 3, 4, 5, …"):
        sums.means()


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((2, 3)), [0, 1], r"of shape \(n, 2\), but are float64 of shape \(2, 3\)"),
        (np.ones(2), [0, 1], "floating point of shape"),
        (np.ones((2, 2), dtype=int), [0, 1], "but are int64"),
        (np.ones((2, 2)), [0], "2 integers, one for each row"),
        (np.ones((2, 2)), [0.0, 1.0], "but are float64"),
        (np.ones((2, 2)), [0, 3], "from 0 to 2, but that of row 1 is 3"),
        (np.ones((2, 2)), [-1, 0], "from 0 to 2, but that of row 0 is -1"),
        (np.array([[1.0, 1.0], [1.0, np.nan]]), [0, 2], r"finite, but those of row 1 \(group 2\)"),
    ],
)
def test_batch_that_breaks_a_rule_is_refused_whole(features, labels, message):
    sums = CentroidSums(3, 2)
    with pytest.raises(SelectionInputError, match=message):
        sums.add(features, labels)
    assert sums.counts().sum() == 0


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_sums_need_a_group_and_a_dimension(shape):
    with pytest.raises(SelectionInputError, match="at least 1 group and 1 dimension"):
        CentroidSums(*shape)
