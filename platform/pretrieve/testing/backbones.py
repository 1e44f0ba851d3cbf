"""The contract suite of backbones."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from pretrieve.backbones import Architecture, parts_of_checkpoint, split_at_classifier
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.errors import BackboneError

NUM_IMAGES, NUM_CLASSES = 3, 5
SIZE_STEP = 32
"""Added to the image size for images of another size; a multiple of what most networks divide their images by."""
TOLERANCE = 1e-4
"""Largest difference of features that counts as rounding, relative to the largest feature."""


def check_backbone(architecture: Architecture) -> None:
    """Check that a backbone keeps the contract of `Architecture`, with fresh weights on random images.

    `build` draws from torch's global generator alone: the same seed gives the same weights. Images of `image_size` are
    mapped to `feature_dim` finite numbers in float32, the projector's to `dim`. In evaluation mode the feature of an
    image depends on that image alone. A gradient reaches every trainable parameter. Weights that are saved and loaded
    give the same features. `takes_any_size` is true of a network that maps larger images, and of no other. The default
    `split` gives back the network's own weights, of a checkpoint with a classifier `fc` too. Nothing is downloaded.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> from pretrieve.backbones import find_architecture
    >>> check_backbone(find_architecture("small_resnet"))
    """
    place = f"(backbone {architecture.name!r})"
    size = architecture.preprocessing.image_size
    images = torch.randn(NUM_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(1))
    network = _built(architecture)
    _check_same_weights(network.state_dict(), _built(architecture).state_dict(), place)
    _check_features(architecture, network, images, place)
    _check_other_size(architecture, network, place)
    _check_gradients(architecture, network, images, place)
    _check_saved(architecture, network, images, place)
    if architecture.split is split_at_classifier:
        _check_split(architecture, network.state_dict(), place)


def _built(architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architecture.build()


def _check_same_weights(first: StateDict, second: StateDict, place: str) -> None:
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (first, second)]
    for name in shapes[0] | shapes[1]:
        one, other = (each.get(name, "missing") for each in shapes)
        if one != other:
            raise AssertionError(
                f"build must make the same network each time, but {name} is {one}, then {other} {place}"
            )
        if not first[name].equal(second[name]):
            raise AssertionError(
                "build must draw from torch's global generator alone, but the same seed gives other weights of "
                f"{name} {place}"
            )


def _check_features(architecture: Architecture, network: nn.Module, images: Tensor, place: str) -> None:
    features = _features(architecture, network, images, f"in evaluation mode {place}")
    again = _features(architecture, network, images, f"in evaluation mode {place}")
    if _differ(features, again):
        raise AssertionError(
            f"in evaluation mode the same images must give the same features, but they differ by up to "
            f"{(features - again).abs().max():.2g} when they are asked for again {place}"
        )
    alone = _features(architecture, network, images[:1], f"for one image in evaluation mode {place}")
    if _differ(features[:1], alone):
        raise AssertionError(
            "in evaluation mode a feature must depend on its image alone, but that of the first image differs by up to "
            f"{(features[:1] - alone).abs().max():.2g} without the others of its batch {place}"
        )
    if architecture.projector is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            projected = architecture.projector.build().eval()(features)
        _check_tensor("the projector's features", projected, architecture.selection_dim, len(images), place)


def _features(architecture: Architecture, network: nn.Module, images: Tensor, place: str) -> Tensor:
    with torch.no_grad():
        features: Tensor = network.eval()(images)
    _check_tensor("features", features, architecture.feature_dim, len(images), place)
    return features


def _check_tensor(what: str, found: object, dim: int, num_images: int, place: str) -> None:
    if not isinstance(found, Tensor) or found.shape != (num_images, dim) or found.dtype != torch.float32:
        got = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise AssertionError(f"{what} must be {(num_images, dim)} torch.float32, but are {got} {place}")
    if not found.isfinite().all():
        raise AssertionError(f"{what} must be finite, but {int((~found.isfinite()).sum())} are not {place}")


def _differ(first: Tensor, second: Tensor) -> bool:
    """Return whether features differ by more than rounding."""
    return bool((first - second).abs().max() > TOLERANCE * first.abs().max())


def _check_other_size(architecture: Architecture, network: nn.Module, place: str) -> None:
    size = architecture.preprocessing.image_size + SIZE_STEP
    images = torch.randn(NUM_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(2))
    try:
        _features(architecture, network, images, f"of images of {size} px")
    except Exception as fault:
        if architecture.takes_any_size:
            raise AssertionError(
                "takes_any_size must be False where the network is tied to its image size, but is True, and images of "
                f"{size} px end in {type(fault).__name__}: {fault} {place}"
            ) from fault
    else:
        if not architecture.takes_any_size:
            raise AssertionError(
                f"takes_any_size must be True where the network maps images of any size, but is False, and images of "
                f"{size} px are mapped {place}"
            )


def _check_gradients(architecture: Architecture, network: nn.Module, images: Tensor, place: str) -> None:
    with torch.random.fork_rng(devices=[]):
        features = network.train()(images)
    _check_tensor("features", features, architecture.feature_dim, len(images), f"in training mode {place}")
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(3))
    (features * weights).sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.isfinite().all()):
            got = "has none" if parameter.grad is None else "is not finite"
            raise AssertionError(f"every trainable parameter must get a gradient, but that of {name!r} {got} {place}")


def _check_saved(architecture: Architecture, network: nn.Module, images: Tensor, place: str) -> None:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)  # so that what is not loaded differs
        loaded = architecture.build()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    before, after = (_features(architecture, each, images, place) for each in (network, loaded))
    if _differ(before, after):
        raise AssertionError(
            "a network with the weights of another must give the same features, but they differ by up to "
            f"{(before - after).abs().max():.2g}; register what it computes with as parameters or buffers {place}"
        )


def _check_split(architecture: Architecture, trunk: StateDict, place: str) -> None:
    classifier = {"weight": torch.zeros(NUM_CLASSES, architecture.feature_dim), "bias": torch.zeros(NUM_CLASSES)}
    whole = trunk | {f"fc.{name}": value for name, value in classifier.items()}
    for state, kind in ((trunk, "the network alone"), (whole, "the network with a classifier `fc`")):
        try:
            parts_of_checkpoint(architecture, state, origin=f"a checkpoint of {kind}")
        except BackboneError as fault:
            raise AssertionError(
                f"the default split must find the network's weights in a checkpoint, but {fault}; give the backbone a "
                f"`split` of its own {place}"
            ) from fault
