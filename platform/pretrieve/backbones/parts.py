"""The parts of a pre-trained network: trunk, projector and classifier; taking networks and checkpoints apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from pretrieve.backbones.state_dicts import StateDict

Made = TypeVar("Made")

PROJECTOR = "projector/"
CLASSIFIER = "classifier/"
"""Prefixes in a stored file; the trunk's own keys have none. Module names have no slash, so keys are unambiguous."""


@dataclass(frozen=True)
class BackboneParts:
    """The weights of a pre-trained network, by part.

    The trunk, images → (N, D), is fine-tuned. The projector, (N, D) → (N, projected_dim), lies between the trunk and
    the features of the selection, and may be empty. The classifier has `weight` (K_source, D) and `bias` (K_source,) of
    the layer that classified the pre-training's images; it is empty if the checkpoint has none.
    """

    trunk: StateDict
    projector: StateDict = field(default_factory=dict)
    classifier: StateDict = field(default_factory=dict)

    def joined(self) -> StateDict:
        """Return all weights in one mapping, as a stored file has them."""
        return (
            self.trunk
            | {PROJECTOR + name: value for name, value in self.projector.items()}
            | {CLASSIFIER + name: value for name, value in self.classifier.items()}
        )

    @classmethod
    def of_joined(cls, state: StateDict) -> BackboneParts:
        """Split what `joined` returned; a trunk's plain state dict is accepted too."""
        projector, rest = take_prefix(state, PROJECTOR)
        classifier, trunk = take_prefix(rest, CLASSIFIER)
        return cls(trunk, projector, classifier)


def split_at_classifier(state: StateDict, *, classifier: str = "fc") -> BackboneParts:
    """Split a classification network's checkpoint into trunk and classifier.

    `state` is that of the whole network or of its trunk alone. A `module.` before every key, as `nn.DataParallel`
    leaves it, is dropped. `classifier` is the name of the last linear layer.
    """
    last, trunk = take_prefix(without_data_parallel(state), f"{classifier}.")
    return BackboneParts(trunk, classifier=last)


def without_data_parallel(state: StateDict) -> StateDict:
    """Drop the `module.` that `nn.DataParallel` puts before every key."""
    inner, rest = take_prefix(state, "module.")
    return state if rest else inner


def take_prefix(state: StateDict, prefix: str) -> tuple[StateDict, StateDict]:
    """Separate the keys with a prefix, which is removed, from the others."""
    with_prefix = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return with_prefix, {name: value for name, value in state.items() if not name.startswith(prefix)}


def cut_classifier(build: Callable[[], nn.Module], classifier: str) -> nn.Module:
    """Build a network with the identity in place of a layer, so that it returns the layer's input."""
    network = build()
    parent, _, child = classifier.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def input_length(network: nn.Module, linear: str) -> int:
    """Return the number of inputs of a linear layer."""
    layer = network.get_submodule(linear)
    assert isinstance(layer, nn.Linear), "asked only of linear layers"
    return layer.in_features


def without_memory(build: Callable[[], Made]) -> Made:
    """Build a network to inspect its layers or its outputs, without weights if its code allows it."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # a constructor that computes with tensors, as RegNet's
        with torch.random.fork_rng(devices=[]):
            return build()
