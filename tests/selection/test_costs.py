import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import COSTS, SelectionInputError, cosine_cost, euclidean_cost

NAMES = ["n01440764 tench", "n01443537 goldfish"]


@pytest.fixture(params=sorted(COSTS))
def cost(request: pytest.FixtureRequest):
    return COSTS[request.param]


def test_cosine_cost_agrees_with_high_precision(rng):
    source, target = rng.normal(size=(4, 9)), rng.normal(size=(3, 9))
    computed = cosine_cost(source, target, cost_scale=0.01)
    with mpmath.workdps(40):
        for i, j in np.ndindex(4, 3):
            first, second = mpmath.matrix(source[i]), mpmath.matrix(target[j])
            cosine = mpmath.fdot(first, second) / (mpmath.norm(first) * mpmath.norm(second))
            assert abs(computed[i, j] - (1 - cosine) / mpmath.mpf(0.01)) < 1e-12


def test_euclidean_cost_of_close_points_keeps_its_digits():
    source = np.array([[1e8, 1.0, -3.0]])
    target = source + np.array([[0.0, 3e-6, 4e-6]])
    expected = np.linalg.norm(target - source)
    assert euclidean_cost(source, target, cost_scale=1.0)[0, 0] == pytest.approx(expected, rel=1e-14)


def test_cost_is_source_by_target_in_float64(cost, rng):
    computed = cost(rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(2, 3)), cost_scale=1.0)
    assert computed.shape == (5, 2)
    assert computed.dtype == np.float64


def test_cost_is_in_units_of_cost_scale(cost, rng):
    source, target = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    np.testing.assert_allclose(
        cost(source, target, cost_scale=0.01), 100 * cost(source, target, cost_scale=1.0), rtol=1e-14
    )


@given(st.floats(1e-150, 1e150), st.integers(0, 2**32 - 1))
def test_cosine_cost_ignores_lengths(length, seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    np.testing.assert_allclose(
        cosine_cost(length * source, target, cost_scale=1.0),
        cosine_cost(source, target, cost_scale=1.0),
        atol=1e-14,
    )


def test_cosine_cost_of_equal_directions_is_never_negative(rng):
    source = rng.normal(size=(200, 30))
    assert cosine_cost(source, 3.0 * source, cost_scale=1e-4).min() >= 0.0


@pytest.mark.parametrize(("side", "position"), [("source", 0), ("target", 1)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_an_error_naming_its_row_and_group(cost, side, position, value):
    matrices = [np.ones((2, 3)), np.ones((2, 3))]
    matrices[position][1, 2] = value
    with pytest.raises(SelectionInputError, match=rf"finite .*row 1 of the {side} \(group 'n01443537 goldfish'\)"):
        cost(*matrices, cost_scale=1.0, source_names=NAMES, target_names=NAMES)


def test_several_wrong_rows_are_counted(cost):
    with pytest.raises(SelectionInputError, match="3 are not, the first: row 0 of the source"):
        cost(np.full((3, 2), np.nan), np.ones((1, 2)), cost_scale=1.0)


@pytest.mark.parametrize(("side", "position"), [("source", 0), ("target", 1)])
def test_zero_vector_has_no_cosine_and_is_an_error_naming_its_row(side, position):
    matrices = [np.ones((2, 3)), np.ones((2, 3))]
    matrices[position][1] = 0.0
    with pytest.raises(SelectionInputError, match=f"zero vector.*row 1 of the {side}.*use the cost 'l2'"):
        cosine_cost(*matrices, cost_scale=1.0)
    assert np.isfinite(euclidean_cost(*matrices, cost_scale=1.0)).all()


def test_different_dimensions_are_an_error_with_both_numbers(cost):
    with pytest.raises(SelectionInputError, match="source has 3 and the target 4"):
        cost(np.ones((2, 3)), np.ones((2, 4)), cost_scale=1.0)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_matrix_without_rows_or_columns_is_an_error(cost, shape):
    with pytest.raises(SelectionInputError, match="target have shape"):
        cost(np.ones((2, 3)), np.ones(shape), cost_scale=1.0)


def test_other_number_of_names_than_rows_is_an_error(cost):
    with pytest.raises(SelectionInputError, match="source has 2 names and 3 rows"):
        cost(np.ones((3, 2)), np.ones((1, 2)), cost_scale=1.0, source_names=NAMES)


@pytest.mark.parametrize("cost_scale", [0.0, -0.01, np.nan, np.inf])
def test_cost_scale_must_be_positive(cost, cost_scale):
    with pytest.raises(SelectionInputError, match=f"cost_scale must be finite and > 0, but is {cost_scale}"):
        cost(np.ones((1, 2)), np.ones((1, 2)), cost_scale=cost_scale)


def test_cost_scale_too_small_for_float64_is_an_error(cost):
    with pytest.raises(SelectionInputError, match="use a larger cost_scale"):
        cost(np.eye(2) * 1e3, np.eye(2), cost_scale=5e-324)
