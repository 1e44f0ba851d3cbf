"""The nearest class mean: an image belongs to the class whose mean feature has the most similar direction."""

from __future__ import annotations

from torch import Tensor

from pretrieve.training.linear_heads import LinearHead, class_means
from pretrieve.training.objectives._base import FeatureObjective


class ClassMeans(FeatureObjective):
    """Compare an image's frozen feature with the mean feature of each class, by cosine. It has no hyperparameter."""

    name = "class_means"

    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> LinearHead:
        return class_means(features, labels, num_classes=num_classes)
