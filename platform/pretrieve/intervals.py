"""Means with 95% confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean_and_ci95(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of n ≥ 1 finite numbers and the half width of its 95% interval by Student's t; NaN for n = 1.

    With two values there is one degree of freedom and t = 12.7: two runs say little, so the interval is wide.

    >>> mean, half_width = mean_and_ci95([0.5, 0.7])
    >>> round(mean, 3), round(half_width, 3)
    (0.6, 1.271)
    """
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return mean, math.nan
    spread = float(np.std(values, ddof=1)) / math.sqrt(count)
    from scipy.special import stdtrit  # what `stats.t.ppf` calls; `scipy.stats` is slow to import

    return mean, float(stdtrit(count - 1, 0.975)) * spread
