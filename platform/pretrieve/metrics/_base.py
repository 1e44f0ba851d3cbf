"""The contract of a metric."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Metric(ABC):
    """How well the outputs of a network fit the labels of a split, as one number in [0, 1]; higher is better.

    A subclass sets `name` and implements `_compute`. It keeps no state, does not change its inputs, and gives the same
    number for the same images in another order.

    Attributes:
      name: the word that a study writes, and the end of its names in MLflow (`val/<name>`, `test/<name>`); of letters,
        digits and `_ - .`.
      label: how tables call it; empty for its name.
    """

    name: ClassVar[str]
    label: ClassVar[str] = ""

    def compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Return the metric of some images.

        The outputs are those before the softmax: two of them may differ where their probabilities are equal in float64,
        and then the predicted class would be another one. `probabilities` gives the softmax.

        Args:
          logits: (N, K), N ≥ 1; the largest of a row is that of the predicted class. They are not finite where the
            network overflowed.
          labels: (N,) in [0, K). A class may have no image.

        Raises:
          ValueError: there is no image, a shape or range above does not hold, or the result is not in [0, 1].
        """
        if not len(labels):
            raise ValueError(f"{self.name!r} must be of at least 1 image, but there is none; give the split images")
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"{self.name!r} must get (N, K) outputs and (N,) labels, but they are {logits.shape} and {labels.shape}"
            )
        if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
            raise ValueError(
                f"labels of {self.name!r} must lie in 0 … {logits.shape[1] - 1}, "
                f"but lie in {labels.min()} … {labels.max()}"
            )
        value = float(self._compute(logits, labels))
        if not 0 <= value <= 1:
            raise ValueError(
                f"the metric {self.name!r} must give a number in [0, 1], but gave {value} for {len(labels)} images; "
                f"mend {type(self).__module__}.{type(self).__qualname__}"
            )
        return value

    @abstractmethod
    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Compute the metric of inputs that have been checked."""


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of each row of (N, K) outputs; a row with a NaN or +∞ has probability 0 for every class.

    >>> probabilities(np.array([[0.0, np.log(3.0)], [np.nan, 1.0]])).round(3).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return np.nan_to_num(shares, copy=False)
