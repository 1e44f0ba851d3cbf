"""Levels of a study that is extended until it is decided: every verdict on the way is a look, and spends a part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from pretrieve.errors import StatisticsError
from pretrieve.statistics.spread import LEAST_REPEATS

LOOKS = (5, 10, 20, 30, 60, 100)
"""Repeats at which a study that is extended until it is decided is looked at."""
HALF_SPENT_AT = 10
"""Repeats by which half of the level is spent."""
NUM_STUDIES = 200_000
SEED = 20070
"""Studies that are simulated, and the seed: the levels are the same wherever they are computed."""


def spent_share(num_repeats: int) -> float:
    """Return the share of the level that looks at up to so many repeats spend: R/(R + 10).

    It spends early, as Pocock's does, and needs no last look: it never reaches 1.

    >>> spent_share(10)
    0.5
    """
    return num_repeats / (num_repeats + HALF_SPENT_AT)


def nominal_level(looks: Sequence[int], level: float = 0.05) -> float:
    """Return the level to test at in the last of these looks, so that all looks together stay within `level`.

    Alpha spending (Lan and DeMets 1983) with `spent_share`: of studies without a difference, a share of at most
    `level` · R/(R + 10) says better or worse at any look at up to R repeats. The levels are those of Student's t, for
    looks whose new repeats are independent of those before. That is the least favourable case: test images that all
    looks share make the looks more alike, and then fewer studies say so.

    Args:
      looks: repeats at each look so far, rising; the last is the present one. Looks at fewer than three repeats test
        nothing and spend nothing. Three looks at 5, 10 and 20 repeats: (5, 10, 20).
      level: of all looks together, in (0, 1); Holm's share of one test.

    Returns:
      A two-sided level in [0, level]; 0 if the present look is at fewer than three repeats.

    Raises:
      StatisticsError: there is no look, or they do not rise.

    >>> round(nominal_level([5]), 4)
    0.0167
    """
    if not looks or any(later <= earlier for earlier, later in pairwise(looks)):
        raise StatisticsError(
            f"looks must be rising numbers of repeats, and at least 1, but are {list(looks)}; leave out looks that add "
            "no repeats"
        )
    if looks[-1] < LEAST_REPEATS:
        return 0.0
    tested = tuple(look for look in looks if look >= LEAST_REPEATS)
    return level * spent_share(tested[0]) if len(tested) == 1 else _last_level(tested, level)


@lru_cache(maxsize=256)
def _last_level(looks: tuple[int, ...], level: float) -> float:
    """Let so many of the open studies cross at each look as the level allows, and return the last threshold's level."""
    is_open = np.ones(NUM_STUDIES, bool)
    here = 0.0
    for num_repeats, statistics in zip(looks, _simulated_statistics(looks), strict=True):
        num_crossing = int(NUM_STUDIES * level * spent_share(num_repeats)) - int((~is_open).sum())
        if num_crossing < 1:
            here = 0.0
            continue
        threshold = -np.partition(-np.where(is_open, statistics, 0), num_crossing)[num_crossing]
        here = 2 * float(stdtr(num_repeats - 1, -float(threshold)))
        is_open &= statistics <= threshold
    return here


@lru_cache(maxsize=2)
def _simulated_statistics(looks: tuple[int, ...]) -> NDArray[np.float32]:
    """Return |t| of simulated studies without a difference, (looks, studies), with normal scores."""
    rng = np.random.default_rng(SEED)
    count, mean, squares = 0, np.zeros(NUM_STUDIES), np.zeros(NUM_STUDIES)
    statistics = np.empty((len(looks), NUM_STUDIES), np.float32)
    for look, num_repeats in enumerate(looks):
        added = num_repeats - count
        step = rng.standard_normal(NUM_STUDIES) / np.sqrt(added) - mean
        squares += step**2 * (count * added / num_repeats)
        if added > 1:
            squares += rng.chisquare(added - 1, NUM_STUDIES)
        mean += step * (added / num_repeats)
        count = num_repeats
        statistics[look] = np.abs(mean) / np.sqrt(squares / (count - 1) / count)
    return statistics
