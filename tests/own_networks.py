"""Networks as people bring them, which processes of their own find by importing this module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerDrop(nn.Module):
    """Has a block that each second step leaves out, from the first on, and one that no step uses.

    It has no batch norm, so that a batch may be taken apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 16, 3, padding=1)
        self.unused, self.step = nn.Linear(4, 4), 0

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) to (N, 16)."""
        features = torch.relu(self.stem(images))
        if not self.training or self.step % 2:
            features = features + self.block(features)
        self.step += self.training
        return features.mean((2, 3))
