import math

import numpy as np
import pytest
from scipy import stats

from pretrieve.errors import StatisticsError
from pretrieve.statistics.power import (
    detectable_difference,
    detection_power,
    equivalence_power,
    provable_margin,
    repeats_to_detect,
    repeats_to_equivalence,
)
from pretrieve.statistics.spread import Spread, typical_spread

PILOT = typical_spread(0.015, 0.1, 500)


def independent(num_repeats, sd=0.01):
    return Spread(num_repeats, sd**2 / num_repeats, num_repeats - 1)


@pytest.mark.parametrize("num_repeats", [3, 5, 10, 30])
@pytest.mark.parametrize("level", [0.05, 0.0125])
def test_power_is_that_of_the_noncentral_t(num_repeats, level):
    spread = independent(num_repeats)
    for difference in (0.0, 0.003, 0.008):
        shift, critical = difference / spread.standard_error, stats.t.isf(level / 2, num_repeats - 1)
        expected = stats.nct.sf(critical, num_repeats - 1, shift) + stats.nct.cdf(-critical, num_repeats - 1, shift)
        assert detection_power(spread, difference, level) == pytest.approx(expected, abs=5e-4)


def test_power_for_equivalence_is_that_of_simulated_tests(rng):
    scores = rng.normal(0.002, 0.01, (40_000, 8))
    half_widths = stats.t.isf(0.025, 7) * scores.std(axis=1, ddof=1) / math.sqrt(8)
    within = np.abs(scores.mean(axis=1)) + half_widths < 0.012
    assert equivalence_power(independent(8), 0.012, difference=0.002) == pytest.approx(within.mean(), abs=0.01)


def test_what_is_detectable_is_detected_with_the_power():
    spread = PILOT.with_repeats(10)
    difference = detectable_difference(spread, num_contrasts=3)
    assert detection_power(spread, difference, 0.05 / 3) == pytest.approx(0.8, abs=0.001)
    assert equivalence_power(spread, provable_margin(spread), level=0.05) == pytest.approx(0.8, abs=0.001)


def test_ten_repeats_see_a_standard_deviation():
    """Tables of the paired t test: n = 10 finds 1.0 standard deviations with a power of 0.803."""
    assert detectable_difference(independent(10, sd=1.0)) == pytest.approx(0.997, abs=0.003)


def test_the_number_of_repeats_is_the_least_that_suffices():
    enough = repeats_to_detect(PILOT, 0.02)
    assert detection_power(PILOT.with_repeats(enough), 0.02) >= 0.8
    assert detection_power(PILOT.with_repeats(enough - 1), 0.02) < 0.8
    enough = repeats_to_equivalence(PILOT, 0.02)
    assert equivalence_power(PILOT.with_repeats(enough), 0.02) >= 0.8
    assert equivalence_power(PILOT.with_repeats(enough - 1), 0.02) < 0.8


def test_a_large_difference_needs_three_repeats():
    assert repeats_to_detect(PILOT, 0.5) == 3


def test_no_number_of_repeats_overcomes_few_test_images():
    """The images' standard error is 0.45 points: without end, repeats see 2.8 of them, 1.26 points."""
    assert repeats_to_detect(PILOT, 0.012) is None
    assert repeats_to_detect(PILOT, 0.014) > 10
    assert repeats_to_equivalence(PILOT, 0.012) is None


def test_more_contrasts_and_fewer_repeats_see_less():
    sees = [
        detectable_difference(PILOT.with_repeats(count), num_contrasts=num)
        for count, num in [(30, 1), (10, 1), (10, 9)]
    ]
    assert sees == sorted(sees)
    assert sees[0] < sees[-1]


def test_rows_without_any_variance_are_seen_exactly():
    spread = Spread(5, 0.0, 4)
    assert (detection_power(spread, 0), detection_power(spread, 0.001), equivalence_power(spread, 0.001)) == (0, 1, 1)
    assert detectable_difference(spread) == 0


def test_an_unknown_spread_promises_nothing():
    unknown = Spread(2, math.inf, 1)
    assert math.isinf(detectable_difference(unknown))
    assert repeats_to_detect(unknown, 0.1) is None


def test_power_is_a_chance():
    with pytest.raises(StatisticsError, match="but is 80"):
        detectable_difference(PILOT, power=80)
