"""Means with 95% confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LEAST_VALUES = 3
"""Below three values there is no interval."""


def mean_and_ci95(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of n ≥ 1 finite numbers and the half width of its 95% interval by Student's t; NaN for n < 3.

    Two values tell next to nothing of their spread (t is 12.7), so whoever shows them lists them instead.

    >>> mean, half_width = mean_and_ci95([0.5, 0.6, 0.7])
    >>> round(mean, 3), round(half_width, 3)
    (0.6, 0.248)
    """
    count = len(values)
    mean = float(np.mean(values))
    if count < LEAST_VALUES:
        return mean, math.nan
    spread = float(np.std(values, ddof=1)) / math.sqrt(count)
    from scipy.special import stdtrit  # what `stats.t.ppf` calls; `scipy.stats` is slow to import

    return mean, float(stdtrit(count - 1, 0.975)) * spread
