import math

import numpy as np
import pytest
from scipy import stats

from pretrieve.intervals import mean_and_ci95


@pytest.mark.parametrize("count", [3, 5, 30])
def test_the_interval_is_scipys(rng, count):
    values = rng.normal(0.8, 0.05, count).tolist()
    low, high = stats.t.interval(0.95, count - 1, loc=np.mean(values), scale=stats.sem(values))
    mean, half_width = mean_and_ci95(values)
    assert mean - half_width == pytest.approx(low)
    assert mean + half_width == pytest.approx(high)


def test_three_values_by_hand():
    # mean 2, s = 1, t(0.975, 2) = 4.302653: half width 4.302653 / √3.
    mean, half_width = mean_and_ci95([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("values", [[0.25], [0.125, 0.375]])
def test_fewer_than_three_values_have_a_mean_and_no_interval(values):
    mean, half_width = mean_and_ci95(values)
    assert mean == 0.25
    assert math.isnan(half_width)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_and_ci95([0.5, 0.5, 0.5]) == (0.5, 0.0)


def test_the_interval_scales_with_its_values(rng):
    values = rng.random(5)
    mean, half_width = mean_and_ci95(values.tolist())
    scaled_mean, scaled_half_width = mean_and_ci95((100 * values + 7).tolist())
    assert scaled_mean == pytest.approx(100 * mean + 7)
    assert scaled_half_width == pytest.approx(100 * half_width)


def test_about_nineteen_of_twenty_intervals_hold_the_true_mean(rng):
    held = 0
    for _ in range(1000):
        mean, half_width = mean_and_ci95(rng.normal(size=4).tolist())
        held += abs(mean) <= half_width
    assert 930 <= held <= 970
