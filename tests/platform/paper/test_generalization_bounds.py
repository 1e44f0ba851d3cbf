from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pretrieve.errors import UserError
from pretrieve.paper.generalization_bounds import (
    ProblemConstants,
    best_target_share,
    fine_tuned_bound,
    pretrained_bound,
    reuse_bound,
)

CONSTANTS = ProblemConstants(
    num_images=200, smoothness=2.0, pl_constant=0.1, gradient_variance=0.5, pretraining_gap=1.5
)


def equation_9(alpha: float, delta_squared: float) -> float:
    n, smooth, mu, variance, gap = dataclasses.astuple(CONSTANTS)
    logarithm = math.log(n * mu * gap**2 / (2 * alpha * smooth * variance))
    return 4 * alpha * smooth * variance / (n * mu**2) * logarithm + 2 * (1 - alpha) * delta_squared / mu


def test_bounds_equal_the_papers_formulas() -> None:
    assert pretrained_bound(1.5, 0.1) == pytest.approx(1.5**2 / 0.1)
    assert fine_tuned_bound(CONSTANTS) == pytest.approx(equation_9(1.0, 0.0))
    assert reuse_bound(CONSTANTS, target_share=0.4, delta_squared=0.02) == pytest.approx(equation_9(0.4, 0.02))


def test_target_alone_is_plain_fine_tuning_whatever_the_source() -> None:
    assert reuse_bound(CONSTANTS, target_share=1.0, delta_squared=1e6) == fine_tuned_bound(CONSTANTS)


@pytest.mark.parametrize("unit", [10.0, 0.01])
def test_the_unit_of_the_parameters_drops_out(unit: float) -> None:
    """θ counted in another unit changes gradients, curvatures and variances, but no risk."""
    scaled = ProblemConstants(
        num_images=CONSTANTS.num_images,
        smoothness=CONSTANTS.smoothness / unit**2,
        pl_constant=CONSTANTS.pl_constant / unit**2,
        gradient_variance=CONSTANTS.gradient_variance / unit**2,
        pretraining_gap=CONSTANTS.pretraining_gap / unit,
    )
    assert reuse_bound(scaled, target_share=0.5, delta_squared=0.3 / unit**2) == pytest.approx(
        reuse_bound(CONSTANTS, target_share=0.5, delta_squared=0.3)
    )
    assert pretrained_bound(1.5 / unit, 0.1 / unit**2) == pytest.approx(pretrained_bound(1.5, 0.1))


def allowed_shares() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A fine grid of the α whose learning rate the theorem allows, found by asking."""
    allowed = []
    for share in np.geomspace(1e-4, 1, 4001):
        try:
            reuse_bound(CONSTANTS, target_share=share, delta_squared=0.0)
        except UserError:
            continue
        allowed.append(share)
    return np.array(allowed)


# The two sides meet at δ² = 0.14 for these constants.
@pytest.mark.parametrize("delta_squared", [0.0, 0.01, 0.1, 0.13, 0.15, 0.5, 100.0])
def test_best_share_is_that_of_brute_force(delta_squared: float) -> None:
    shares = allowed_shares()
    assert 0 < len(shares) < 4001
    bounds = [equation_9(share, delta_squared) for share in shares]
    best = best_target_share(CONSTANTS, delta_squared=delta_squared)
    assert best == pytest.approx(shares[int(np.argmin(bounds))], rel=3e-3)
    assert reuse_bound(CONSTANTS, target_share=best, delta_squared=delta_squared) <= min(bounds) * (1 + 1e-12)


def test_best_share_is_one_for_a_far_source_and_less_for_a_near_one() -> None:
    assert best_target_share(CONSTANTS, delta_squared=100.0) == 1.0
    assert best_target_share(CONSTANTS, delta_squared=0.01) < 0.2


def test_many_images_leave_a_share_that_is_still_positive() -> None:
    many = dataclasses.replace(CONSTANTS, num_images=1_000_000)
    share = best_target_share(many, delta_squared=0.0)
    assert 0 < share < 1e-300
    assert reuse_bound(many, target_share=share, delta_squared=0.0) < fine_tuned_bound(many)


def test_a_learning_rate_above_one_over_l_is_refused() -> None:
    few = dataclasses.replace(CONSTANTS, num_images=20)
    with pytest.raises(UserError, match=r"must not exceed 1/L = 0.5, but is 0.81.*; raise num_images"):
        fine_tuned_bound(few)
    with pytest.raises(UserError, match="must not exceed 1/L"):
        reuse_bound(CONSTANTS, target_share=1e-3, delta_squared=0.0)
    with pytest.raises(UserError, match="must not exceed 1/L"):
        best_target_share(few, delta_squared=0.1)


def test_a_learning_rate_that_is_not_positive_is_refused() -> None:
    close = dataclasses.replace(CONSTANTS, pretraining_gap=0.1)
    with pytest.raises(UserError, match=r"must be > 0, but is -0.2.*= 0.1 must exceed 1"):
        fine_tuned_bound(close)
    with pytest.raises(UserError, match="must be > 0"):
        best_target_share(close, delta_squared=0.1)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ProblemConstants)])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_constants_out_of_range_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{field} must be finite and > 0, but is"):
        dataclasses.replace(CONSTANTS, **{field: value})


def test_a_pl_constant_above_the_smoothness_is_refused() -> None:
    with pytest.raises(UserError, match="pl_constant must not exceed smoothness, but is 3 > 2"):
        dataclasses.replace(CONSTANTS, pl_constant=3.0)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"target_share must lie in \(0, 1\]"):
        reuse_bound(CONSTANTS, target_share=share, delta_squared=0.0)


@pytest.mark.parametrize("delta_squared", [-0.1, math.nan, math.inf])
def test_gaps_out_of_range_are_refused(delta_squared: float) -> None:
    with pytest.raises(UserError, match="delta_squared must be finite"):
        reuse_bound(CONSTANTS, target_share=0.5, delta_squared=delta_squared)
    with pytest.raises(UserError, match="delta_squared must be finite"):
        best_target_share(CONSTANTS, delta_squared=delta_squared)
