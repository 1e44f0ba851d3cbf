"""The answers are compared with POT, with closed forms and with the same iteration in extended precision."""

import math

import mpmath
import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrieve_selection import COSTS, SelectionInputError, TransportSettings, solve_unbalanced_transport

METHODS = ("auto", "log", "scaling")
COST_SCALES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _log_sum_exp(exponents, axis):
    largest = exponents.max(axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(exponents - largest).sum(axis=axis))


def _longdouble_log_marginal(cost, num_iterations=62):
    # The paper's weights contract by 0.495 an iteration: 62 take the largest error, below 1e6, under 1e-13.
    log_kernel = -cost.astype(np.longdouble)
    log_v = np.zeros(cost.shape[1], np.longdouble)
    for _ in range(num_iterations):
        log_u = -_log_sum_exp(log_kernel + log_v, 1) * np.longdouble(1) / 2
        log_v = -_log_sum_exp(log_kernel + log_u[:, None], 0) * np.longdouble(100) / 101
    return log_u + _log_sum_exp(log_kernel + log_v, 1)


def _mpmath_log_marginal(cost, settings, num_iterations):
    epsilon, num_rows, num_columns = mpmath.mpf(settings.entropy_weight), *cost.shape
    kernel = [[mpmath.exp(-mpmath.mpf(entry) / epsilon) for entry in row] for row in cost.tolist()]
    source_power = settings.source_penalty / (settings.source_penalty + epsilon)
    target_power = settings.target_penalty / (settings.target_penalty + epsilon)
    v = [mpmath.mpf(1)] * num_columns
    for _ in range(num_iterations):
        u = [(1 / mpmath.fdot(row, v)) ** source_power for row in kernel]
        v = [(1 / mpmath.fdot(column, u)) ** target_power for column in zip(*kernel, strict=True)]
    return [float(mpmath.log(u[i] * mpmath.fdot(kernel[i], v))) for i in range(num_rows)]


@pytest.mark.parametrize("cost_scale", [1e-6, *COST_SCALES])
def test_log_marginal_agrees_with_mpmath_at_any_cost_scale(method, cost_scale, rng):
    cost = rng.uniform(size=(6, 4)) / cost_scale
    with mpmath.workdps(40):
        expected = _mpmath_log_marginal(cost, TransportSettings(), 90)
    plan = solve_unbalanced_transport(cost, method=method)
    np.testing.assert_allclose(plan.log_source_marginal, expected, rtol=0, atol=1e-8)
    assert plan.converged


@pytest.mark.parametrize(("source_penalty", "target_penalty"), [(0.1, 0.2), (5.0, 5.0), (1e-3, 20.0)])
@pytest.mark.parametrize("entropy_weight", [0.05, 2.0])
def test_log_marginal_agrees_with_mpmath_at_any_weights(method, rng, entropy_weight, source_penalty, target_penalty):
    cost = rng.uniform(size=(5, 7)) / 0.01
    settings = TransportSettings(
        entropy_weight=entropy_weight, source_penalty=source_penalty, target_penalty=target_penalty
    )
    plan = solve_unbalanced_transport(cost, settings=settings, method=method)
    with mpmath.workdps(30):
        expected = _mpmath_log_marginal(cost, settings, plan.iterations + 20)
    np.testing.assert_allclose(plan.log_source_marginal, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("cost_name", sorted(COSTS))
@pytest.mark.parametrize("cost_scale", COST_SCALES)
def test_real_centroids_agree_with_extended_precision(load_class_means, backbone, cost_name, cost_scale):
    means = load_class_means(backbone, "dtd")
    cost = COSTS[cost_name](means.source, means.target, cost_scale=cost_scale)
    expected = _longdouble_log_marginal(cost)
    for method in METHODS:
        plan = solve_unbalanced_transport(cost, method=method)
        assert np.abs(plan.log_source_marginal - expected).max() < 1e-8
        assert plan.converged


@pytest.mark.parametrize("cost_name", sorted(COSTS))
@pytest.mark.parametrize("cost_scale", COST_SCALES)
def test_two_ways_agree_on_real_centroids(load_class_means, backbone, cost_name, cost_scale):
    means = load_class_means(backbone, "cub")
    cost = COSTS[cost_name](means.source, means.target, cost_scale=cost_scale)
    first = solve_unbalanced_transport(cost, method="log")
    second = solve_unbalanced_transport(cost, method="scaling")
    np.testing.assert_allclose(first.log_source_marginal, second.log_source_marginal, rtol=0, atol=1e-9)
    assert first.converged
    assert second.converged


def test_plan_agrees_with_pot_at_unequal_masses(method, rng):
    cost = rng.uniform(size=(8, 5)) * 20
    source_mass, target_mass = rng.uniform(0.5, 3.0, size=8), rng.uniform(0.5, 3.0, size=5)
    with pytest.warns(UserWarning, match="reg_type = entropy"):
        expected = ot.unbalanced.sinkhorn_unbalanced(
            source_mass, target_mass, cost, 0.7, (1.5, 30.0), reg_type="entropy", stopThr=1e-15, numItermax=5000
        )
    settings = TransportSettings(entropy_weight=0.7, source_penalty=1.5, target_penalty=30.0)
    plan = solve_unbalanced_transport(
        cost, source_mass=source_mass, target_mass=target_mass, settings=settings, method=method
    )
    np.testing.assert_allclose(plan.plan, expected, rtol=1e-10)
    np.testing.assert_allclose(plan.source_marginal, expected.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(plan.target_marginal, expected.sum(axis=0), rtol=1e-10)


@given(
    cost=st.floats(-50, 1e5),
    epsilon=st.floats(0.1, 10),
    tau=st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)),
    mass=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
)
def test_one_group_and_one_class_have_a_closed_form(cost, epsilon, tau, mass):
    # The derivative of eq. 5 vanishes where (ε + τ₁ + τ₂) log p = τ₁ log a + τ₂ log b − C.
    settings = TransportSettings(entropy_weight=epsilon, source_penalty=tau[0], target_penalty=tau[1])
    plan = solve_unbalanced_transport(np.array([[cost]]), source_mass=mass[:1], target_mass=mass[1:], settings=settings)
    expected = (tau[0] * math.log(mass[0]) + tau[1] * math.log(mass[1]) - cost) / (epsilon + sum(tau))
    assert plan.log_source_marginal[0] == pytest.approx(expected, rel=1e-9, abs=1e-8)
    assert plan.converged


@pytest.mark.parametrize("cost_scale", [1e-4, 1e-2, 1.0])
def test_residual_bounds_the_error_of_an_iteration_cut_short(method, rng, cost_scale):
    cost = rng.uniform(size=(30, 7)) / cost_scale
    exact = solve_unbalanced_transport(cost, method=method)
    short = solve_unbalanced_transport(cost, method=method, settings=TransportSettings(max_iterations=6))
    assert not short.converged
    assert short.iterations == 6
    error = np.abs(short.log_source_scaling - exact.log_source_scaling).max()
    assert 0 < error <= short.residual * (1 + 1e-9)


def test_penalties_too_strong_to_converge_are_marked(method, rng):
    settings = TransportSettings(source_penalty=1e18, target_penalty=1e18, max_iterations=50)
    plan = solve_unbalanced_transport(rng.uniform(size=(4, 3)) * 9, settings=settings, method=method)
    assert not plan.converged
    assert np.isfinite(plan.log_source_marginal).all()


def test_order_survives_where_masses_underflow(method):
    cost = np.array([[0.0, 9e4], [5e4, 9e4], [4e4, 8e4], [9e4, 0.0]])
    plan = solve_unbalanced_transport(cost, method=method)
    np.testing.assert_array_equal(plan.source_marginal[1:3], 0.0)
    assert np.isfinite(plan.log_source_marginal).all()
    assert plan.log_source_marginal[2] > plan.log_source_marginal[1]


def test_strongly_negative_costs_overflow_to_infinite_mass_without_a_warning():
    plan = solve_unbalanced_transport(
        np.array([[-1e6]]), settings=TransportSettings(source_penalty=1e-3, target_penalty=1e-3)
    )
    assert plan.source_marginal[0] == np.inf
    assert plan.log_source_marginal[0] == pytest.approx(1e6 / 1.002, rel=1e-9)


costs = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from(COST_SCALES))


def _random_cost(drawn):
    num_rows, num_columns, seed, cost_scale = drawn
    return np.random.default_rng(seed).uniform(size=(num_rows, num_columns)) / cost_scale


@given(costs, st.randoms(use_true_random=False))
def test_permuting_groups_and_classes_permutes_the_plan(drawn, random):
    cost = _random_cost(drawn)
    rows, columns = list(range(cost.shape[0])), list(range(cost.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    plan = solve_unbalanced_transport(cost)
    permuted = solve_unbalanced_transport(cost[rows][:, columns])
    np.testing.assert_allclose(permuted.log_source_marginal, plan.log_source_marginal[rows], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(permuted.log_target_marginal, plan.log_target_marginal[columns], rtol=1e-12, atol=1e-9)


@given(costs, st.floats(1e-3, 1e3))
def test_scaling_cost_and_all_weights_together_changes_nothing(drawn, factor):
    cost = _random_cost(drawn)
    scaled = TransportSettings(entropy_weight=factor, source_penalty=factor, target_penalty=100 * factor)
    np.testing.assert_allclose(
        solve_unbalanced_transport(factor * cost, settings=scaled).log_source_marginal,
        solve_unbalanced_transport(cost).log_source_marginal,
        rtol=1e-12,
        atol=1e-9,
    )


@given(costs)
def test_masses_are_not_negative_and_both_marginals_are_those_of_the_plan(drawn):
    result = solve_unbalanced_transport(_random_cost(drawn))
    plan = result.plan
    assert (plan >= 0).all()
    np.testing.assert_allclose(result.source_marginal, plan.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(result.target_marginal, plan.sum(axis=0), rtol=1e-9)


@given(costs)
def test_target_class_given_twice_is_one_class_of_twice_the_mass(drawn):
    # Two equal columns p are one column P = 2p: 2 KL(p|1) = KL(P|2), and 2 p log p = P log P − P log 2.
    cost = _random_cost(drawn)
    doubled = solve_unbalanced_transport(np.hstack([cost, cost[:, :1]]))
    mass = np.ones(cost.shape[1])
    mass[0] = 2.0
    merged_cost = cost.copy()
    merged_cost[:, 0] -= math.log(2.0)
    merged = solve_unbalanced_transport(merged_cost, target_mass=mass)
    np.testing.assert_allclose(doubled.log_source_marginal, merged.log_source_marginal, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(doubled.plan[:, 0], doubled.plan[:, -1], rtol=1e-9)


def test_torch_tensor_gives_the_same_answer_as_tensors(method, rng):
    cost = rng.uniform(size=(20, 6)) / 1e-3
    mass = rng.uniform(1, 2, size=20)
    expected = solve_unbalanced_transport(cost, source_mass=mass, method=method)
    plan = solve_unbalanced_transport(
        torch.tensor(cost, requires_grad=True), source_mass=torch.tensor(mass), method=method
    )
    for name in ("log_source_marginal", "source_marginal", "target_marginal", "plan"):
        tensor = getattr(plan, name)
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == torch.float64
        np.testing.assert_allclose(tensor.numpy(), getattr(expected, name), rtol=1e-9, atol=1e-300)
    assert (plan.iterations, plan.converged) == (expected.iterations, True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_gives_the_same_answer(method, rng):
    cost = rng.uniform(size=(20, 6)) / 1e-3
    plan = solve_unbalanced_transport(torch.tensor(cost, device="cuda"), method=method)
    assert plan.log_source_marginal.is_cuda
    expected = solve_unbalanced_transport(cost, method=method)
    np.testing.assert_allclose(plan.log_source_marginal.cpu().numpy(), expected.log_source_marginal, rtol=0, atol=1e-9)


def test_float32_cost_is_computed_in_float64(rng):
    cost = rng.uniform(size=(4, 3)).astype(np.float32)
    plan = solve_unbalanced_transport(cost)
    assert plan.plan.dtype == np.float64
    np.testing.assert_array_equal(
        plan.log_source_marginal, solve_unbalanced_transport(cost.astype(np.float64)).log_source_marginal
    )


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_cost_that_is_not_finite_is_an_error_naming_the_row(kind):
    cost = kind([[0.0, 1.0], [2.0, math.nan], [math.inf, 3.0]])
    with pytest.raises(SelectionInputError, match="cost must be finite, but 2 entries are not, the first in row 1"):
        solve_unbalanced_transport(cost)


@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, 0)])
def test_cost_must_be_a_matrix(shape):
    with pytest.raises(SelectionInputError, match=r"cost must be a \(K_source, K_target\) matrix"):
        solve_unbalanced_transport(np.zeros(shape))


def test_entropy_weight_too_small_for_float64_is_an_error():
    with pytest.raises(SelectionInputError, match="use a larger entropy_weight"):
        solve_unbalanced_transport(np.ones((2, 2)), settings=TransportSettings(entropy_weight=1e-310))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_mass_must_be_positive(value):
    with pytest.raises(SelectionInputError, match="target_mass must be finite and > 0, but 1 entry is not in row 1"):
        solve_unbalanced_transport(np.ones((3, 2)), target_mass=[1.0, value])


def test_mass_needs_an_entry_for_each_group():
    with pytest.raises(SelectionInputError, match="source_mass must have one entry for each of the 3 groups"):
        solve_unbalanced_transport(np.ones((3, 2)), source_mass=[1.0, 1.0])


def test_unknown_method_is_an_error_with_the_nearest_word():
    with pytest.raises(SelectionInputError, match=r"but is 'scale': .* Did you mean 'scaling'\?"):
        solve_unbalanced_transport(np.ones((1, 1)), method="scale")
