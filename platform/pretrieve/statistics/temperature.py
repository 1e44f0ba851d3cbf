"""The temperature that makes probabilities of class scores fit how often they are right (Guo et al. 2017)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

LARGEST = 100.0
"""A temperature lies between its inverse and it."""


def fit_temperature(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature T > 0 for which softmax(scores / T) is most likely to give the labels.

    The scores must be of images that their network did not see. log T has the standard normal prior, which counts
    like a few images: it holds T where all of few are right, for which any smaller T would be more likely.

    Args:
      scores: (N, K) finite outputs before the softmax, N ≥ 1.
      labels: (N,) whole numbers in [0, K).

    >>> overconfident = np.array([[9.0, 0.0]] * 300 + [[0.0, 9.0]] * 100)  # 3 of 4 are right: log 3 is 9 / 8.2
    >>> round(fit_temperature(overconfident, np.zeros(400, dtype=int)), 1)
    8.0
    """
    own = scores.astype(np.float64)
    right = own[np.arange(len(labels)), labels]

    def surprise(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        likelihood = scale * right - logsumexp(scale * own, axis=1)
        return float(log_temperature**2 / 2 - likelihood.sum())

    limit = math.log(LARGEST)
    return math.exp(minimize_scalar(surprise, bounds=(-limit, limit), method="bounded").x)
