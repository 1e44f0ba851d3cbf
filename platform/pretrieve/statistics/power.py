"""Power: the differences that so many repeats see, and how many repeats a difference or an equivalence needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, stdtrit

from pretrieve.errors import StatisticsError
from pretrieve.statistics.spread import LEAST_REPEATS, Spread

MOST_REPEATS = 100_000
"""A number of repeats above this is no answer."""
NUM_QUANTILES = 128
QUANTILES = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES


def detection_power(spread: Spread, difference: float, level: float = 0.05) -> float:
    """Return the chance that a two-sided test says better or worse if the true difference is `difference`.

    The noncentral t distribution: the mean over the chi distribution of the standard error of the normal chance.

    Args:
      spread: of the paired difference, at the number of repeats in question.
      difference: in the unit of the scores.
      level: of this test; the level of the study over the number of contrasts for the first test of Holm's.
    """
    if spread.variance == 0:
        return float(difference != 0)
    critical = _critical(spread, 1 - level / 2)
    shift = difference / spread.standard_error
    return float(np.mean(ndtr(shift - critical) + ndtr(-shift - critical)))


def equivalence_power(spread: Spread, margin: float, *, difference: float = 0.0, level: float = 0.05) -> float:
    """Return the chance that the rows are called equivalent within ± `margin` if `difference` is true.

    The interval at 1 − level then lies within the margin: two one-sided tests, each at half the level.
    """
    if spread.variance == 0:
        return float(abs(difference) < margin)
    critical = _critical(spread, 1 - level / 2)
    low, high = ((sign * margin - difference) / spread.standard_error for sign in (-1, 1))
    return float(np.mean(np.maximum(ndtr(high - critical) - ndtr(low + critical), 0)))


def detectable_difference(spread: Spread, *, num_contrasts: int = 1, level: float = 0.05, power: float = 0.8) -> float:
    """Return the least true difference that is found with this power, in the unit of the scores; infinite if unknown.

    Args:
      spread: of the paired difference, at the number of repeats in question (`Spread.with_repeats`).
      num_contrasts: tests that Holm's correction shares the level among.
      level: of all these tests, two-sided.
      power: the chance to find it, in (level, 1).
    """
    return _least(lambda size: detection_power(spread, size, level / num_contrasts), spread, power)


def provable_margin(spread: Spread, *, num_contrasts: int = 1, level: float = 0.05, power: float = 0.8) -> float:
    """Return the least margin within which rows without a difference are called equivalent with this power.

    Arguments are those of `detectable_difference`; infinite if the spread is unknown.
    """
    return _least(lambda size: equivalence_power(spread, size, level=level / num_contrasts), spread, power)


def repeats_to_detect(
    spread: Spread, difference: float, *, num_contrasts: int = 1, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Return the least number of repeats that finds a true difference with this power.

    Returns:
      At least 3; None if no number of repeats does, since the part of the test images alone is too wide.
    """
    return least_repeats(lambda more: detection_power(more, difference, level / num_contrasts), spread, power)


def repeats_to_equivalence(
    spread: Spread, margin: float, *, num_contrasts: int = 1, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Return the least number of repeats that calls rows without a difference equivalent with this power, or None."""
    return least_repeats(lambda more: equivalence_power(more, margin, level=level / num_contrasts), spread, power)


def least_repeats(power_of: Callable[[Spread], float], spread: Spread, power: float = 0.8) -> int | None:
    """Return the least number of repeats whose spread has this power, by bisection; None above 100,000."""
    _check_power(power)

    def suffices(num_repeats: int) -> bool:
        return power_of(spread.with_repeats(num_repeats)) >= power

    if not spread.known or not suffices(MOST_REPEATS):
        return None
    low, high = LEAST_REPEATS - 1, MOST_REPEATS
    while high - low > 1:
        middle = (low + high) // 2 if high < 4 * low else math.isqrt(low * high)
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _least(power_of: Callable[[float], float], spread: Spread, power: float) -> float:
    """Return the least size with this power, to a thousandth of a standard error."""
    _check_power(power)
    if not spread.known:
        return math.inf
    low, high = 0.0, spread.standard_error
    while high > 0 and power_of(high) < power:
        low, high = high, 2 * high
    while high - low > spread.standard_error / 1000:
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def _critical(spread: Spread, quantile: float) -> NDArray[np.float64]:
    """Return Student's critical value times quantiles of the estimated over the true standard error."""
    freedom = spread.degrees_of_freedom
    critical: NDArray[np.float64] = stdtrit(freedom, quantile) * np.sqrt(chdtri(freedom, QUANTILES) / freedom)
    return critical


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise StatisticsError(f"power must lie between 0 and 1, but is {power}; give a chance such as 0.8")
