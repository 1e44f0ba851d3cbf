"""Whether a network can be a backbone at all, found out by using it: two images forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pretrieve.backbones._base import Architecture
from pretrieve.backbones.evaluation_mode import predicting
from pretrieve.backbones.memory_format import fault_of_channels_last
from pretrieve.errors import BackboneError, in_words

NUM_IMAGES = 2

Made = TypeVar("Made")


def check_network(architecture: Architecture, *, is_trained: bool = True) -> str | None:
    """Pass two images of the architecture's size through a network with fresh weights, as a study will.

    It predicts, and if it `is_trained`, it is also passed in training mode, and its gradients are computed. This finds
    what no list of names foresees: heads that return more than features in training, networks that are tied to another
    image size, and outputs of another length.

    Returns:
      Why it keeps torch's own order of memory, see `memory_format`; None if it may be channels-last.

    Raises:
      BackboneError: it cannot be a backbone; names the network, its image size and the reason.
    """
    place = f"{architecture.name!r} at {architecture.preprocessing.image_size} px"
    size = architecture.preprocessing.image_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _tried(architecture.build, f"{place} cannot be built")
        images = torch.randn(NUM_IMAGES, 3, size, size)
        with predicting(network), torch.no_grad():
            _refuse_other_than_features(_tried(lambda: network(images), f"{place} cannot predict"), architecture, place)
        if is_trained:
            _refuse_untrainable(network.train(), images, architecture, place)
        return _tried(lambda: fault_of_channels_last(network, size), f"{place} cannot predict")


def _refuse_untrainable(network: nn.Module, images: Tensor, architecture: Architecture, place: str) -> None:
    place = f"{place} in training mode"
    features = _tried(lambda: network(images), f"{place} cannot compute a step")
    _refuse_other_than_features(features, architecture, place)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return  # a frozen trunk, on which only heads learn
    if not features.requires_grad:
        raise BackboneError(f"a backbone must learn, but no weight of {place} changes its features; build it anew")
    _tried(lambda: features.square().mean().backward(), f"{place} has no gradient")
    network.zero_grad()


def _tried(make: Callable[[], Made], what: str) -> Made:
    try:
        return make()
    except Exception as fault:  # whatever a network's own code raises
        raise BackboneError(
            f"a backbone must map images to features and learn, but {what}: {in_words(fault)}; take another image size "
            "or network"
        ) from fault


def _refuse_other_than_features(found: Any, architecture: Architecture, place: str) -> None:
    expected = (NUM_IMAGES, architecture.feature_dim)
    if isinstance(found, Tensor) and found.is_floating_point() and tuple(found.shape) == expected:
        return
    got = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
    raise BackboneError(
        f"a backbone must return features alone, one row of {architecture.feature_dim} numbers an image, but {place} "
        f"returns {got} for {NUM_IMAGES} images; take another network, or wrap it in one that returns features alone"
    )
