"""Classification networks turned into trunks, by cutting off their last linear layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def input_length(network: nn.Module, linear: str) -> int:
    """Return the number of inputs of a linear layer."""
    layer = network.get_submodule(linear)
    assert isinstance(layer, nn.Linear), "asked only of linear layers"
    return layer.in_features


def cut_classifier(network: nn.Module, classifier: str) -> nn.Module:
    """Replace a layer by the identity, in place, so that the network returns the layer's input."""
    parent, _, child = classifier.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network to inspect its layers, without weights if its constructor allows it."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # a constructor that computes with tensors, as RegNet's
        with torch.random.fork_rng(devices=[]):
            return build()
