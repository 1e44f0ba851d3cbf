"""The one standard error rule: the simplest of the rows that are about as good as the best one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def simplest_within_one_error(scores: NDArray[np.float64]) -> int:
    """Return the first row whose mean is within one standard error of the best row's (Breiman et al. 1984).

    The error is that of the mean paired difference from the best row, so that what all rows share cancels. It is a rule
    and no test: folds of one repeat learn from overlapping images. With one column the best row is returned, the first
    of equal ones.

    Args:
      scores: (M, N) finite, M and N ≥ 1; of row m in fold n. The simplest row comes first.

    >>> simplest_within_one_error(np.array([[0.7, 0.9, 0.8], [0.8, 0.8, 0.9], [0.2, 0.3, 0.2]]))
    0
    >>> simplest_within_one_error(np.array([[0.7, 0.8, 0.8], [0.8, 0.9, 0.9]]))
    1
    """
    num_columns = scores.shape[1]
    behind = scores[np.argmax(scores.mean(axis=1))] - scores
    spread = behind.std(axis=1, ddof=1) if num_columns > 1 else np.zeros(len(scores))
    allowed = spread / np.sqrt(num_columns) + 1e-12  # differences that are equal but for rounding
    return int(np.argmax(behind.mean(axis=1) <= allowed))
