"""Heads that start as a linear probe (LP-FT: Kumar et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from pretrieve.components.hyperparameters import L2
from pretrieve.training.head_starts._base import HeadProblem, HeadStart
from pretrieve.training.linear_heads import choose_l2, logistic_regression


class FromProbe(HeadStart):
    """Fit a multinomial logistic regression to the features, so that fine-tuning begins with what they already know.

    Args:
      l2: strength of the penalty, see `logistic_regression`; None: the one of several that predicts held-out folds of
        the examples best.
    """

    name = "from_probe"

    def __init__(self, l2: float | None = None) -> None:
        if l2 is not None and not l2 > 0:
            raise ValueError(f"l2 must be > 0, but is {l2}; leave it out to have it chosen by folds")
        self._l2 = l2

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        features, labels = problem.examples()
        l2 = self._l2 or choose_l2(features, labels, L2.grid)
        return logistic_regression(features, labels, num_classes=problem.num_classes, l2=l2)
