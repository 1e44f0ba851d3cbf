"""Networks as people bring them, which processes of their own find by importing this module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pretrieve.backbones import Architecture, Preprocessing


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


class TwoOutputs(nn.Module):
    """Returns features, and in training also those of an earlier map, as auxiliary heads do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (N, 3, S, S) to (N, 16)."""
        early = self.stem(images)
        features: Tensor = self.body(early).mean((2, 3))
        return (features, early.mean((2, 3))) if self.training else features


class TiedToItsSize(nn.Module):
    """Has a weight for each of the 8 × 8 patches of an image of 32 px."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.positions = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(64, 16))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, 32, 32) to (N, 16)."""
        return (self.patches(images).flatten(2).transpose(1, 2) + self.positions).mean(1)


class Detached(nn.Module):
    """Computes its features without gradients, as code that was written for prediction does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) to (N, 16)."""
        features: Tensor = self.stem(images).mean((2, 3))
        return features


class Narrow(nn.Module):
    """Has a strided 1 × 1 shortcut of 8 channels, for which oneDNN fails in channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body, self.shortcut = nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(8, 16, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) to (N, 16)."""
        early = torch.relu(self.stem(images))
        return torch.relu(self.body(early) + self.shortcut(early)).mean((2, 3))


class FiveDimensional(nn.Module):
    """Has a weight of five dimensions, which torch refuses to convert to channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.planes = nn.Conv2d(3, 8, 3, 2), nn.Conv3d(1, 2, (1, 3, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, S, S) to (N, 16)."""
        features: Tensor = self.planes(self.stem(images).unsqueeze(1)).mean((3, 4)).flatten(1)
        return features


def fails() -> nn.Module:
    """Raise what a builder of one's own may raise."""
    raise OSError("no licence for this network")


def architecture(build: Callable[[], nn.Module], name: str, image_size: int = 32) -> Architecture:
    """Return an architecture of 16 features, which a study finds by its name here."""
    preprocessing = Preprocessing(image_size, image_size, (0.5,) * 3, (0.25,) * 3)
    return Architecture(f"own_networks:{name}", feature_dim=16, preprocessing=preprocessing, build=build)


two_outputs = architecture(TwoOutputs, "two_outputs")
tied = architecture(TiedToItsSize, "tied")
detached = architecture(Detached, "detached")
narrow = architecture(Narrow, "narrow")
five_dimensional = architecture(FiveDimensional, "five_dimensional")
failing = architecture(fails, "failing")
