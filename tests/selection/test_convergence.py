"""Where it says that it converged, log P·1 is right: 2,000 drawn problems against extended precision."""

import numpy as np
import pytest

from pretrieve_selection import SelectionSettings, TransportSettings, solve_image_transport, solve_unbalanced_transport

EPS = float(np.finfo(np.float64).eps)
# ε, τ₁, τ₂: the paper's first. The weaker the source penalty, the farther log P·1 may be off for an error of log u.
WEIGHTS = [(1.0, 1.0, 100.0), (1.0, 0.01, 100.0), (2.0, 0.3, 0.2), (0.5, 3.0, 4.0), (0.05, 0.5, 1e-4), (1.0, 1e3, 1.0)]
GROUP_KINDS = (
    *("row sums", "both sums", "one class", "one direction", "ties"),
    *("large costs", "one large cost", "small costs", "mixed costs", "masses of any scale"),
)
IMAGE_KINDS = ("one target", "one direction", "ties", "any length", "blobs")


def _draw_groups(kind, rng, shape, epsilon):
    """Draw a cost and both masses. Where masses are sums of the kernel, the first step changes little or nothing."""
    cost, source_mass, target_mass = rng.uniform(0, 3, shape), np.ones(shape[0]), np.ones(shape[1])
    kernel, exponents = np.exp(-cost / epsilon), {"large costs": (2, 7), "small costs": (-8, 0), "mixed costs": (-3, 4)}
    match kind:
        case "row sums":
            noise = rng.choice([0.0, 10.0 ** -rng.integers(1, 16)])
            source_mass = kernel.sum(axis=1) * np.exp(noise * rng.normal(size=shape[0]))
        case "both sums":
            source_mass, target_mass = kernel.sum(axis=1), kernel.sum(axis=0)
        case "one class":
            cost, source_mass, target_mass = cost[:, :1], rng.uniform(0.1, 2, shape[0]), target_mass[:1]
        case "one direction":
            cost, target_mass = 0.0 * cost[:, :1], target_mass[:1]
        case "ties":
            cost = cost[np.ix_(rng.integers(0, 2, shape[0]), rng.integers(0, 2, shape[1]))]
        case "large costs" | "small costs" | "mixed costs":
            cost *= 10.0 ** rng.integers(*exponents[kind], size=shape if kind == "mixed costs" else 1)
        case "one large cost":
            cost[0, 0] = 10.0 ** rng.integers(5, 300)
        case "masses of any scale":
            source_mass, target_mass = (10.0 ** rng.uniform(-300, 300, side) for side in shape)
    return cost, source_mass, target_mass


def _draw_images(kind, rng, num_source, num_target):
    source, target = rng.normal(size=(num_source, 4)), rng.normal(size=(num_target, 4))
    match kind:
        case "one target":
            target = target[:1]
        case "one direction":
            source, target = rng.uniform(0.5, 3, (num_source, 1)) * target[:1], target[:1]
        case "ties":
            source, target = source[rng.integers(0, 2, num_source)], target[rng.integers(0, 2, num_target)]
        case "any length":
            source *= 10.0 ** rng.uniform(-20, 20, (num_source, 1))
        case "blobs":
            source, target = source + 3, target + 3
    return source, target


def _exact_cosine_cost(source, target, cost_scale):
    source, target = (side.astype(np.longdouble) for side in (source, target))
    source, target = (side / np.sqrt((side**2).sum(axis=1, keepdims=True)) for side in (source, target))
    return (1 - source @ target.T) / np.longdouble(cost_scale)


def _log_sum_exp(exponents, axis):
    largest = exponents.max(axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(exponents - largest).sum(axis=axis))


def _exact_log_marginals(cost, log_source_mass, log_target_mass, weights):
    """Solve problems of one shape together, costs (problems, K_source, K_target), until they cannot change any more."""
    epsilon, *penalties = (np.longdouble(weight) for weight in weights)
    source_power, target_power = (penalty / (penalty + epsilon) for penalty in penalties)
    contraction = source_power * target_power
    log_kernel, log_u, log_v, error = -cost / epsilon, np.inf, np.zeros_like(log_target_mass), np.inf
    while np.max(error) > 1e-13:
        previous, log_rows = log_u, _log_sum_exp(log_kernel + log_v[:, None], 2)
        log_u = source_power * (log_source_mass - log_rows)
        log_v = target_power * (log_target_mass - _log_sum_exp(log_kernel + log_u[:, :, None], 1))
        scale = np.maximum(1, 1e-5 * abs(log_rows).max(axis=1))  # 1e-18 at the scale of what is rounded
        error = 2 * contraction / (1 - contraction) * abs(log_u - previous).max(axis=1) / scale
    return log_u + _log_sum_exp(log_kernel + log_v[:, None], 2)


def _settings_of(weights):
    return dict(zip(("entropy_weight", "source_penalty", "target_penalty"), weights, strict=True))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", GROUP_KINDS)
def test_groups_are_right_where_the_solver_converged(kind, weights):
    rng = np.random.default_rng([GROUP_KINDS.index(kind), WEIGHTS.index(weights)])
    shape = rng.integers(2, 9), rng.integers(2, 7)
    problems = [_draw_groups(kind, rng, shape, weights[0]) for _ in range(30)]
    costs, *masses = (np.array(side, dtype=np.longdouble) for side in zip(*problems, strict=True))
    exact = _exact_log_marginals(costs, *map(np.log, masses), weights)
    for number, (cost, source_mass, target_mass) in enumerate(problems):
        plan = solve_unbalanced_transport(
            cost,
            source_mass=source_mass,
            target_mass=target_mass,
            settings=TransportSettings(**_settings_of(weights)),
            method=("log", "scaling")[number % 2],
        )
        assert plan.converged
        # The default tolerance is 1e-12, but logarithms are rounded at their own scale: from 2e4 on, that is more.
        logarithms = plan.log_source_marginal, plan.log_source_scaling, plan.log_target_scaling
        scale = max(float(abs(each).max()) for each in logarithms)
        assert abs(plan.log_source_marginal - exact[number]).max() <= max(1e-10, 20 * EPS * scale)


@pytest.mark.parametrize(("weights", "cost_scale"), [(WEIGHTS[0], 0.01), (WEIGHTS[3], 0.3)])
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_images_are_right_where_the_solver_converged(kind, weights, cost_scale):
    rng = np.random.default_rng(IMAGE_KINDS.index(kind))
    shape = rng.integers(2, 15), rng.integers(2, 7)
    settings = SelectionSettings(cost_scale=cost_scale, **_settings_of(weights))
    problems = [_draw_images(kind, rng, *shape) for _ in range(20)]
    costs = np.array([_exact_cosine_cost(*problem, cost_scale) for problem in problems])
    exact = _exact_log_marginals(costs, 0 * costs[:, :, 0], 0 * costs[:, 0], weights)
    for problem, expected in zip(problems, exact, strict=True):
        transport = solve_image_transport(*problem, settings=settings)
        assert transport.converged
        assert abs(transport.log_source_marginal - expected).max() <= 1e-10


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("num_iterations", [2, 3, 5])
def test_residual_bounds_every_error_of_an_iteration_cut_short(rng, weights, num_iterations):
    cost, settings = rng.uniform(0, 100, (9, 4)), _settings_of(weights)
    exact = solve_unbalanced_transport(cost, settings=TransportSettings(**settings))
    short = solve_unbalanced_transport(cost, settings=TransportSettings(**settings, max_iterations=num_iterations))
    for name in ("log_source_marginal", "log_target_marginal", "log_source_scaling"):
        assert abs(getattr(short, name) - getattr(exact, name)).max() <= short.residual + 1e-9


def test_a_single_iteration_never_converges():
    cost, settings = np.zeros((3, 1)), SelectionSettings(max_iterations=1, tolerance=1e300)
    plan = solve_unbalanced_transport(cost, settings=settings)
    images = solve_image_transport(np.ones((3, 2)), np.ones((1, 2)), settings=settings)
    assert (plan.residual, plan.converged) == (images.residual, images.converged) == (np.inf, False)


def test_costs_at_the_end_of_the_range_converge_to_what_they_decide():
    plan = solve_unbalanced_transport(np.array([[0.0], [1.7e308]]))
    assert (plan.converged, plan.log_source_marginal.tolist()) == (True, [0.0, -8.5e307])
