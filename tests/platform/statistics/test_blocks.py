"""Repeats of several machines: what a machine adds to all its repeats is no spread."""

import math

import numpy as np
import pytest

from pretrieve.errors import StatisticsError
from pretrieve.statistics import Contributions, estimate
from pretrieve.statistics.spread import spread_of


def table_of(scores):
    """A table of two images; the second weighs nothing in the difference, and images do not covary."""
    values = np.stack([scores, scores], axis=1)
    return Contributions(("a", "b"), values, np.full(values.shape, 0.5), np.zeros(2, int))


def test_the_variance_is_that_within_machines():
    """Scores 1, 2, 3 on one machine and 11, 13 on another.

    Sums of squares about the means 2 and 12: 2 + 2 = 4, with 5 − 2 = 3 degrees of freedom; S²/R = 4/3/5.
    """
    spread = spread_of(table_of(np.array([1.0, 2.0, 3.0, 11.0, 13.0])), ["x", "x", "x", "y", "y"])
    assert spread.repeat_variance == pytest.approx(4 / 15)
    assert spread.repeat_df == 3
    assert spread.num_repeats == 5


def test_one_machine_is_no_block():
    scores = np.array([0.1, 0.4, 0.2, 0.3])
    assert spread_of(table_of(scores), ["x"] * 4) == spread_of(table_of(scores))


def test_machines_with_one_repeat_each_tell_no_spread():
    difference = estimate(table_of(np.array([0.1, 0.4, 0.2])), ["x", "y", "x"])
    assert difference.interval() is None
    assert difference.spread.repeat_variance == math.inf


def test_each_repeat_has_a_block():
    with pytest.raises(StatisticsError, match="each repeat must have a block, but there are 2 blocks for 3 repeats"):
        spread_of(table_of(np.array([0.1, 0.4, 0.2])), ["x", "y"])


def test_intervals_cover_although_machines_differ(rng):
    """Machines that differ by three standard deviations of a repeat: 4,000 studies of six and four repeats."""
    covered = 0
    for scores in rng.standard_normal((4000, 10)):
        scores[6:] += 3.0
        values = scores[:, None] + rng.standard_normal((10, 20)) * 0.1
        table = Contributions(tuple(map(str, range(20))), values, np.full(values.shape, 1 / 20), np.zeros(20, int))
        low, high, *_ = estimate(table, [0] * 6 + [1] * 4).interval()
        covered += low <= 1.2 <= high
    assert covered / 4000 == pytest.approx(0.95, abs=0.012)
