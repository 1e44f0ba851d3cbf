"""torchvision's ResNets with ImageNet weights; the feature is the penultimate layer (section 4.1)."""

from __future__ import annotations

from functools import partial

from torch import nn

from pretrieve.backbones._base import Architecture, Preprocessing, register_architecture
from pretrieve.backbones.classifier_cut import cut_classifier
from pretrieve.backbones.state_dicts import StateDict

IMAGENET = Preprocessing(resize_size=256, image_size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def build_resnet(name: str) -> nn.Module:
    """Build a torchvision ResNet without its classifier."""
    from torchvision import models  # imported late: torchvision takes a second to load

    return cut_classifier(models.get_model(name, weights=None), "fc")


def published_torchvision_weights(name: str) -> StateDict:
    """Load the default weights of a torchvision model; its own builder would unpickle whatever the file holds."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    state: StateDict = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    return state


for _name, _dim in (("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)):
    register_architecture(
        Architecture(
            name=_name,
            feature_dim=_dim,
            preprocessing=IMAGENET,
            build=partial(build_resnet, _name),
            published_weights=partial(published_torchvision_weights, _name),
        )
    )
