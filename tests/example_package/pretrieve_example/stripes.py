"""A target of grey pictures, and a small network for it."""

import numpy as np
from torch import nn

import pretrieve as pt


def stripes() -> pt.ImageSet:
    """Pictures of three kinds of grey."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pixels = (labels[:, None, None, None] * 80 + rng.integers(0, 40, (60, 16, 16, 3))).astype(np.uint8)
    examples = zip(pixels, (f"kind {label}" for label in labels), strict=True)
    return pt.image_set_from_examples("stripes", examples, test_fraction=0.3)


class Network(nn.Sequential):
    """One convolution, averaged over the picture."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


network = pt.Architecture("a word", 6, pt.Preprocessing(16, 16, mean=(0.5,) * 3, std=(0.25,) * 3), Network)
