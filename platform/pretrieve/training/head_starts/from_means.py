"""Heads that start as the nearest class mean."""

from __future__ import annotations

from torch import Tensor

from pretrieve.training.head_starts._base import HeadProblem, HeadStart
from pretrieve.training.linear_heads import class_means


class FromMeans(HeadStart):
    """Point each class's weights along its mean feature, scaled so that the probabilities fit; see `class_means`."""

    name = "from_means"

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        features, labels = problem.examples()
        return class_means(features, labels, num_classes=problem.num_classes)
