"""A backbone whose features are thumbnails, so that copies lie near each other; `thumbnail_network:architecture`."""

from __future__ import annotations

from torch import Tensor, nn

from pretrieve.backbones import Architecture, Preprocessing


class Thumbnail(nn.Module):
    """Eight by eight cells, less the mean of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(8)
        self.unused = nn.Linear(1, 1)  # a backbone has weights

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, 32, 32) to (N, 192)."""
        cells = self.pool(images).flatten(1)
        return cells - cells.mean(1, keepdim=True)


architecture = Architecture(
    name="thumbnail_network:architecture",
    feature_dim=192,
    preprocessing=Preprocessing(resize_size=32, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    build=Thumbnail,
)
