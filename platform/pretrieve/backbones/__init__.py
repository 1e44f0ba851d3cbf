"""Pre-trained networks, one file per family; importing this package registers them."""

from pretrieve.backbones import (
    efficientnet_lite,
    image_sizes,
    moco_resnet50,
    small_resnet,
    timm_model,
    torchvision_classifier,
    torchvision_resnet,
    user_backbone,
)
from pretrieve.backbones._base import (
    Architecture,
    Family,
    Preprocessing,
    Projector,
    architecture_names,
    find_architecture,
    register_architecture,
    register_family,
)
from pretrieve.backbones.backbone import Backbone, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.image_sizes import at_image_size
from pretrieve.backbones.parts import BackboneParts, split_at_classifier
from pretrieve.backbones.user_backbone import register_backbone

__all__ = [
    "Architecture",
    "Backbone",
    "BackboneParts",
    "Family",
    "Preprocessing",
    "Projector",
    "architecture_names",
    "at_image_size",
    "efficientnet_lite",
    "find_architecture",
    "image_sizes",
    "keep_backbone",
    "moco_resnet50",
    "parts_of_checkpoint",
    "register_architecture",
    "register_backbone",
    "register_family",
    "small_resnet",
    "split_at_classifier",
    "timm_model",
    "torchvision_classifier",
    "torchvision_resnet",
    "user_backbone",
]
