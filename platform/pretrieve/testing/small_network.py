"""A network of a few weights, without batch norm, on which members are checked; and values for what they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pretrieve.components.hyperparameters import Hyperparameter
from pretrieve.training.network import TwoHeadNetwork

NUM_TARGET_CLASSES, NUM_SOURCE_CLASSES, FEATURE_DIM = 3, 5, 8


def small_network(*, source_head: bool, is_pretrained: bool = False) -> TwoHeadNetwork:
    """Make the network that maps (N, 3, 8, 8) images to features of 8 numbers, with the same weights each time.

    It treats images one by one. `is_pretrained`: the source head is the classifier of the pre-training.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, FEATURE_DIM)
        )
        network = TwoHeadNetwork(
            backbone,
            feature_dim=FEATURE_DIM,
            num_target_classes=NUM_TARGET_CLASSES,
            num_source_classes=NUM_SOURCE_CLASSES if source_head else 0,
            source_classifier=nn.Linear(FEATURE_DIM, NUM_SOURCE_CLASSES) if is_pretrained else None,
        )
    # Heads of this size predict something, and no weight is 0.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return network


def values_of(hyperparameters: Sequence[Hyperparameter]) -> dict[str, Any]:
    """Return a value for each hyperparameter, under the name by which its member reads it."""
    return {each.read_as: each.example for each in hyperparameters}
