"""Pre-trained networks, one file per family; importing this package registers them.

The first family that knows a name resolves it, so `image_sizes`, which knows the names of all others, comes first.
"""

from pretrieve.backbones import efficientnet_lite as efficientnet_lite
from pretrieve.backbones import image_sizes as image_sizes
from pretrieve.backbones import moco_resnet50 as moco_resnet50
from pretrieve.backbones import small_resnet as small_resnet
from pretrieve.backbones import timm_model as timm_model
from pretrieve.backbones import torchvision_models as torchvision_models
from pretrieve.backbones._base import Architecture as Architecture
from pretrieve.backbones._base import Family as Family
from pretrieve.backbones._base import Preprocessing as Preprocessing
from pretrieve.backbones._base import Projector as Projector
from pretrieve.backbones._base import _architectures
from pretrieve.backbones._base import architecture_names as architecture_names
from pretrieve.backbones._base import find_architecture as find_architecture
from pretrieve.backbones._base import further_names as further_names
from pretrieve.backbones._base import register_architecture as register_architecture
from pretrieve.backbones._base import register_family as register_family
from pretrieve.backbones.backbone import Backbone as Backbone
from pretrieve.backbones.backbone import keep_backbone as keep_backbone
from pretrieve.backbones.backbone import parts_of_checkpoint as parts_of_checkpoint
from pretrieve.backbones.image_sizes import at_image_size as at_image_size
from pretrieve.backbones.parts import BackboneParts as BackboneParts
from pretrieve.backbones.parts import split_at_classifier as split_at_classifier
from pretrieve.backbones.user_backbone import register_backbone as register_backbone

BUILT_IN = dict(_architectures)
"""The architectures that the files of this folder register, by name."""
