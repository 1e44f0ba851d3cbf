"""A head start from the images of each class."""

import torch
import torch.nn.functional as F

from pretrieve.training.head_starts import HeadStart


class MeanDirections(HeadStart):
    """Start each class at the direction of its mean feature; a class without an image at zero."""

    name = "mean_directions"

    def __init__(self, length: float = 1.0) -> None:
        self.length = length

    def start(self, problem):
        features, labels = problem.examples()
        sums = torch.zeros(problem.num_classes, problem.feature_dim).index_add_(0, labels, F.normalize(features))
        return self.length * F.normalize(sums), torch.zeros(problem.num_classes)
