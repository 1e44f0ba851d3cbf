"""A metric of a user's module, which workers find by the name `own_metric:Confidence`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics import Metric
from pretrieve.metrics._base import probabilities


class Confidence(Metric):
    """Average the probability of the right class."""

    name = "confidence"
    label = "mean probability of the right class"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return float(probabilities(logits)[np.arange(len(labels)), labels].mean())


class Nameless(Confidence):
    """Has a name that MLflow's records need for themselves."""

    name = "score"


class Percent(Confidence):
    """Give a number that is no share."""

    name = "percent"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        return 100 * super()._compute(logits, labels)
