"""Pre-trained networks, one file a family; importing this package registers them."""

from pretrieve.backbones import small_resnet, torchvision_resnet
from pretrieve.backbones._base import (
    Architecture,
    Preprocessing,
    architecture_names,
    find_architecture,
    register_architecture,
)
from pretrieve.backbones.backbone import Backbone

__all__ = [
    "Architecture",
    "Backbone",
    "Preprocessing",
    "architecture_names",
    "find_architecture",
    "register_architecture",
    "small_resnet",
    "torchvision_resnet",
]
