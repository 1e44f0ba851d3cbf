"""A residual network small enough to pre-train and fine-tune on a laptop's processor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrieve.backbones._base import Architecture, Preprocessing, register_architecture

WIDTHS = (16, 32, 64)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm and a shortcut (He et al. 2016)."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            convolution = nn.Conv2d(width_in, width_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(width_out))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""
        out = F.relu(self.norm1(self.conv1(images)))
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(images))


class SmallResNet(nn.Module):
    """Three residual stages behind a strided stem; the feature is the average of the last map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.stages = nn.Sequential(*map(ResidualBlock, (WIDTHS[0], *WIDTHS[:-1]), WIDTHS, (1, 2, 2)))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, 32, 32) float32 images to (N, 64) float32 features."""
        features: Tensor = self.stages(self.stem(images))
        return torch.flatten(F.adaptive_avg_pool2d(features, 1), 1)


register_architecture(
    Architecture(
        name="small_resnet",
        feature_dim=WIDTHS[-1],
        preprocessing=Preprocessing(resize_size=32, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        build=SmallResNet,
    )
)
