"""A mean over repeats with what it claims: intervals, tests of a difference and of equivalence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from pretrieve.errors import StatisticsError
from pretrieve.statistics.contributions import Contributions
from pretrieve.statistics.spread import LEAST_REPEATS, NO_SPREAD, Spread, average_spread, spread_of


class Interval(NamedTuple):
    """An interval of scores, or of their differences.

    Attributes:
      low: lower end.
      high: upper end.
      level: the chance that it covers the truth, such as 0.95.
      claim: what the truth is about: the targets of the study, or others of their kind.
    """

    low: float
    high: float
    level: float
    claim: Literal["these targets", "other targets"] = "these targets"


@dataclass(frozen=True, eq=False)
class Estimate:
    """The mean over R repeats, as an estimate for this backbone, source, pool of images and these targets.

    The truth that it estimates is the expectation over draws of labelled images from this pool and over test images.

    Attributes:
      scores: (R,) the scores of the repeats, or their paired differences.
      spread: how far their mean would move if the study were run again.
    """

    scores: NDArray[np.float64]
    spread: Spread

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return float(np.mean(self.scores))

    def interval(self, level: float = 0.95) -> Interval | None:
        """Return Student's t interval, or None below three repeats or two test images: list the scores then."""
        if not self.spread.known:
            return None
        half_width = float(stdtrit(self.spread.degrees_of_freedom, (1 + level) / 2)) * self.spread.standard_error
        return Interval(self.mean - half_width, self.mean + half_width, level)

    def p_difference(self) -> float:
        """Return the two-sided p-value of no difference; 1 if there is no interval, or if all differences are zero."""
        return min(2 * self._upper_tail(abs(self.mean)), 1.0)

    def p_equivalence(self, margin: float) -> float:
        """Return the p-value of a difference of at least `margin` > 0: twice the larger of two one-sided tests.

        Each of the two is at half the level, so that it is at most 0.05 if and only if the 95 % interval lies within
        ± margin. 1 if there is no interval; 0 if all differences are zero.
        """
        return min(2 * self._upper_tail(margin - abs(self.mean)), 1.0)

    def _upper_tail(self, distance: float) -> float:
        """Return the chance that the mean exceeds its truth by `distance`."""
        if not self.spread.known:
            return 1.0
        if self.spread.variance < NO_SPREAD**2:
            return float(distance < NO_SPREAD)
        return float(stdtr(self.spread.degrees_of_freedom, -distance / self.spread.standard_error))


def estimate(table: Contributions, blocks: Sequence[Hashable] | None = None) -> Estimate:
    """Estimate the score of one row on one target, or the paired difference of two rows.

    `blocks` names the machine of each repeat where there are several; see `spread_of`.

    >>> from pretrieve.statistics.contributions import contributions, top1_images
    >>> correct = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], bool)
    >>> row = estimate(contributions([top1_images("abcd", repeat) for repeat in correct]))
    >>> row.mean, row.spread.known
    (0.75, True)
    """
    return Estimate(table.scores, spread_of(table, blocks))


def average_over_targets(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate of the mean over these T ≥ 1 targets, whose estimates are independent.

    Raises:
      StatisticsError: there is no estimate, or targets have other numbers of repeats.
    """
    spread = average_spread([target.spread for target in estimates])
    return Estimate(np.mean([target.scores for target in estimates], axis=0), spread)


def other_targets_interval(means: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the interval of a claim about *other* targets: Student's t over the means of T targets.

    These targets then count as a sample from all targets of their kind. It covers what the mean over further targets
    would be, whatever the repeats and images of each were; None below three targets.

    Raises:
      StatisticsError: a mean is not finite.
    """
    if not np.isfinite(means).all():
        raise StatisticsError(f"means of targets must be finite, but are {list(means)}; leave out targets without one")
    count = len(means)
    if count < LEAST_REPEATS:
        return None
    spread = Spread(count, float(np.var(means, ddof=1)) / count, count - 1)
    interval = Estimate(np.asarray(means, float), spread).interval(level)
    return interval and interval._replace(claim="other targets")
