"""torchvision's classification models by their names there; the feature is the last linear layer's input.

The ResNets of the paper (section 4.1) are registered; any other model is made when its name is requested.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any

from torch import nn

from pretrieve.backbones._base import Architecture, Family, Preprocessing, register_architecture, register_family
from pretrieve.backbones.parts import BackboneParts, cut_classifier, input_length, split_at_classifier, without_memory
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.errors import BackboneError

IMAGENET = Preprocessing(resize_size=256, image_size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

AUXILIARY_HEADS = ("googlenet", "inception_v3")

TIED_TO_THEIR_SIZE = ("vit_", "maxvit_")
"""Their position embeddings are weights, one for each patch of the image."""

OLD_DENSENET_KEY = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
"""Published DenseNets have `norm.1` instead of the module's `norm1`."""


def torchvision_names() -> list[str]:
    """List the names of torchvision's classification models; imports torchvision."""
    from torchvision import models  # imported late: torchvision takes a second to load

    names: list[str] = models.list_models(module=models)
    return names


def _resolve(name: str) -> Architecture | None:
    if not re.fullmatch(r"\w+", name) or name not in torchvision_names():
        return None
    if name in AUXILIARY_HEADS:
        raise BackboneError(
            f"a backbone must return features alone, but {name!r} in training returns auxiliary heads' too; "
            "take another network, for example resnet50"
        )
    return _make(name)


@lru_cache
def _make(name: str) -> Architecture:
    from torchvision import models

    # Resizing is bilinear here, whatever that of the weights' own transforms is.
    transforms: Any = models.get_model_weights(name).DEFAULT.transforms()
    (image_size,), (resize_size,) = transforms.crop_size, transforms.resize_size
    build = partial(torchvision_model, name, **({"image_size": image_size} if name.startswith("vit_") else {}))
    network = without_memory(build)
    linear_layers = [layer for layer, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear_layers:
        raise BackboneError(
            f"a backbone must end in a linear layer whose input is the feature, but {name!r} has none; take another "
            "network, for example mobilenet_v3_small"
        )
    classifier = linear_layers[-1]
    return Architecture(
        name=name,
        feature_dim=input_length(network, classifier),
        preprocessing=Preprocessing(resize_size, image_size, tuple(transforms.mean), tuple(transforms.std)),
        build=partial(cut_classifier, build, classifier),
        published_weights=partial(_published_weights, name),
        split=partial(_split, classifier=classifier),
        takes_any_size=not name.startswith(TIED_TO_THEIR_SIZE),
    )


def torchvision_model(name: str, **options: int) -> nn.Module:
    """Build a torchvision model, with its classifier and fresh weights."""
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None, **options)
    return network


def _published_weights(name: str) -> StateDict:
    """Load a model's default weights; torchvision's own builder would unpickle whatever the file holds."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    state: StateDict = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    return state


def _split(state: StateDict, *, classifier: str) -> BackboneParts:
    renamed = {OLD_DENSENET_KEY.sub(r"\1\2", name): value for name, value in state.items()}
    return split_at_classifier(renamed, classifier=classifier)


register_family(
    Family(form="the name of a torchvision classification model", resolve=_resolve, names=torchvision_names)
)
for _name, _dim in (("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)):
    register_architecture(
        Architecture(
            name=_name,
            feature_dim=_dim,
            preprocessing=IMAGENET,
            build=partial(cut_classifier, partial(torchvision_model, _name), "fc"),
            published_weights=partial(_published_weights, _name),
        )
    )
