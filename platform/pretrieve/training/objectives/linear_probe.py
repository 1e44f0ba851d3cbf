"""The linear probe: a classifier of the pre-trained network's features, which stay as they are."""

from __future__ import annotations

from torch import Tensor

from pretrieve.components.hyperparameters import L2
from pretrieve.training.linear_heads import LinearHead, logistic_regression
from pretrieve.training.objectives._base import FeatureObjective, Relationship
from pretrieve.training.settings import Hyperparameters


class LinearProbe(FeatureObjective):
    """Multinomial logistic regression on the frozen features, with an L2 penalty of strength `l2`."""

    name = "linear_probe"
    hyperparameters = (L2,)

    def __init__(self, l2: float) -> None:
        self._l2 = l2

    @classmethod
    def build(cls, hyperparameters: Hyperparameters, relationship: Relationship | None) -> LinearProbe:
        return cls(hyperparameters.read(L2))

    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> LinearHead:
        return logistic_regression(features, labels, num_classes=num_classes, l2=self._l2)
