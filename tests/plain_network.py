"""A backbone without batch norm, which workers find by the name `plain_network:architecture`."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pretrieve.backbones import Architecture, Preprocessing


class PlainNetwork(nn.Module):
    """Images of a batch do not depend on each other, so a batch may be taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 5, stride=2)
        self.second = nn.Conv2d(16, 32, 3, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, 32, 32) to (N, 32)."""
        return torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3))


class SmallDevice(PlainNetwork):
    """Stands for a device whose memory holds four images of a step: a fake, since a CPU has no such error."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, 32, 32) to (N, 32)."""
        if self.training and len(images) > 4:
            raise torch.OutOfMemoryError(f"CUDA out of memory. {'As long as the advice that torch gives. ' * 30}")
        return super().forward(images)


architecture = Architecture(
    name="plain_network:architecture",
    feature_dim=32,
    preprocessing=Preprocessing(resize_size=32, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    build=PlainNetwork,
)

small_device = replace(architecture, name="plain_network:small_device", build=SmallDevice)
