"""A user's own network as a backbone: registered, named `my_module:my_architecture`, or from a package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from torch import nn

from pretrieve.backbones._base import Architecture, Family, Preprocessing, Projector, _architectures, register_family
from pretrieve.backbones.parts import BackboneParts, split_at_classifier
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.components import BACKBONES
from pretrieve.errors import BackboneError


def register_backbone(
    name: str,
    *,
    build: Callable[[], nn.Module],
    feature_dim: int,
    preprocessing: Preprocessing,
    published_weights: Callable[[], StateDict] | None = None,
    projector: Projector | None = None,
    split: Callable[[StateDict], BackboneParts] = split_at_classifier,
    takes_any_size: bool = True,
    version: str = "",
) -> Architecture:
    """Register a network of one's own under a name that studies can use.

    Call it at the top of a module: the processes of a cluster find the network by importing the module that registered
    it. So a network that a notebook or a script registers works for extraction, but not for a study.

    Args:
      name: the name in a study's `backbone`, alone or as `my_module:name`.
      build: makes the module (N, 3, image_size, image_size) float32 → (N, feature_dim) float32.
      feature_dim: D.
      preprocessing: of the images it was made for.
      published_weights: loads its weights if the study gives neither `weights` nor `pretrain`.
      projector: further layers that the features of the selection pass, and fine-tuning drops.
      split: splits a checkpoint into parts; by default `fc` is the classifier of the pre-training.
      takes_any_size: the network is not tied to its image size.
      version: part of the identity; change it when `build` makes another network from the same weights.

    Returns the architecture, named `my_module:name`. Raises BackboneError if the name is taken or malformed, or the
    feature has no length.

    >>> grey = Preprocessing(resize_size=32, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> register_backbone("pixels", build=nn.Flatten, feature_dim=3072, preprocessing=grey).name
    'pretrieve.backbones.user_backbone:pixels'
    """
    if not name.isidentifier():
        raise BackboneError(f"a backbone's name must be letters, digits and underscores, but is {name!r}")
    if feature_dim < 1:
        raise BackboneError(f"feature_dim must be at least 1, but that of {name!r} is {feature_dim}")
    home = str(sys._getframe(1).f_globals.get("__name__", "__main__"))
    architecture = Architecture(
        name=f"{home}:{name}",
        feature_dim=feature_dim,
        preprocessing=preprocessing,
        build=build,
        published_weights=published_weights,
        projector=projector,
        split=split,
        takes_any_size=takes_any_size,
        version=version,
    )
    taken = _architectures.get(name) or BACKBONES.registered(name)
    if taken is not None and taken.name != architecture.name:
        raise BackboneError(f"a backbone's name must be free, but {name!r} is {taken.name!r}; choose another name")
    BACKBONES.register(name, architecture)
    return architecture


def _of_user(word: str) -> Architecture | None:
    if ":" not in word and word not in BACKBONES.words():
        return None
    found = BACKBONES.find(word)
    architecture = found if isinstance(found, Architecture) else found()
    if not isinstance(architecture, Architecture):
        raise BackboneError(
            f"{word!r} must be a pretrieve Architecture or return one, but is a {type(architecture).__name__}; see "
            "pretrieve.register_backbone"
        )
    # The name by which every process finds it; a registered network has one already.
    return architecture if BACKBONES.is_registered(found) else replace(architecture, name=word)


register_family(
    Family(
        form="my_module:my_architecture",
        resolve=_of_user,
    )
)
