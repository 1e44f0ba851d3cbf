"""Holm's correction for several tests, with the level at which each one is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import truediv
from typing import NamedTuple

import numpy as np

LevelOf = Callable[[int], float]
"""The level of a test while so many tests of its family are undecided; Holm's is level/number."""


class HolmTest(NamedTuple):
    """One test of a family.

    Attributes:
      level: the level that it was tested at. An interval at 1 − level excludes the tested value if and only if it is
        rejected.
      adjusted: the p-value to compare with the level of the whole family; 1 at most.
      rejected: whether the test rejects.
    """

    level: float
    adjusted: float
    rejected: bool


def holm(p_values: Sequence[float], *, level: float = 0.05, level_of: LevelOf | None = None) -> tuple[HolmTest, ...]:
    """Test a family so that the chance of any wrong rejection is at most `level` (Holm 1979).

    The least p-value is tested at level/m, the next at level/(m − 1), and so on until one is not rejected. All that
    follow are not rejected either, and keep the level at which the procedure stopped.

    Args:
      p_values: m ≥ 0 values in [0, 1].
      level: of the whole family, in (0, 1).
      level_of: replaces level/number, for a study that is tested at several looks.

    >>> [round(test.adjusted, 3) for test in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    level_of = level_of or partial(truediv, level)
    tests: dict[int, HolmTest] = {}
    adjusted, stopped_at = 0.0, None
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        here = level_of(len(p_values) - rank)
        adjusted = max(adjusted, min(1.0, p_values[index] * level / here) if here > 0 else 1.0)
        rejected = stopped_at is None and p_values[index] <= here and here > 0
        if not rejected and stopped_at is None:
            stopped_at = here
        tests[index] = HolmTest(here if stopped_at is None else stopped_at, adjusted, rejected)
    return tuple(tests[index] for index in range(len(p_values)))


def holm_in_two(
    first: Sequence[float], second: Sequence[float], *, level: float, share: float, level_of: Callable[[float], LevelOf]
) -> tuple[tuple[HolmTest, ...], tuple[HolmTest, ...]]:
    """Test two families so that the chance of any wrong rejection in either is at most `level`.

    Each is corrected in itself: the first at `share` of the level, the second at the rest. A family whose tests all
    reject passes its share to the other (Bretz et al. 2009). A family without tests leaves its share to the other too.

    Args:
      first: p-values of the first family.
      second: p-values of the second family.
      level: of both families together.
      share: of the first family, in (0, 1).
      level_of: for the level of a family, the level while so many of its tests are undecided.

    Returns:
      The tests of both, in their order; adjusted p-values are to be compared with `level`.
    """

    def tested(p_values: Sequence[float], part: float) -> tuple[HolmTest, ...]:
        return holm(p_values, level=level, level_of=level_of(part))

    firsts = tested(first, share * level)
    seconds = tested(second, level if all(test.rejected for test in firsts) else (1 - share) * level)
    if all(test.rejected for test in seconds):
        firsts = tested(first, level)
    return firsts, seconds
