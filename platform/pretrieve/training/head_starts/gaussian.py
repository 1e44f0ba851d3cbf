"""Heads that start from a normal distribution, as in the authors' script."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pretrieve.training.head_starts._base import HeadProblem, HeadStart

HEAD_STD = math.sqrt(2 / 2048)


class Gaussian(HeadStart):
    """Draw the weights from N(0, 2/2048), whatever the feature's length, with zero bias.

    >>> weight, bias = Gaussian().start(HeadProblem(8, 3, torch.Generator().manual_seed(0)))
    >>> weight.shape, bias
    (torch.Size([3, 8]), tensor([0., 0., 0.]))
    """

    name = "gaussian"
    uses_examples = False

    def start(self, problem: HeadProblem) -> tuple[Tensor, Tensor]:
        weight = torch.empty(problem.num_classes, problem.feature_dim)
        torch.nn.init.normal_(weight, std=HEAD_STD, generator=problem.generator)
        return weight, torch.zeros(problem.num_classes)
