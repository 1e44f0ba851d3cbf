"""The F1 score of each class, averaged over the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretrieve.metrics._base import Metric


class MacroF1(Metric):
    """Average the F1 scores, 2 · correct / (images + predictions), of the classes that are labelled or predicted.

    It is `sklearn.metrics.f1_score(..., average="macro")`: a class that is predicted and has no image counts as 0.

    >>> MacroF1().compute(np.array([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0]]), np.array([0, 1, 1]))
    0.6666666666666666
    """

    name = "macro_f1"
    label = "macro F1"

    def _compute(self, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        predicted, num_classes = logits.argmax(axis=1), logits.shape[1]
        num_correct = np.bincount(labels[predicted == labels], minlength=num_classes)
        total = np.bincount(labels, minlength=num_classes) + np.bincount(predicted, minlength=num_classes)
        seen = total > 0
        return float((2 * num_correct[seen] / total[seen]).mean())
