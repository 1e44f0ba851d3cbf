"""Whole classifiers turned into trunks: their last linear layer found and cut off."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def last_linear(network: nn.Module) -> str | None:
    """Return the name of a network's last linear layer; None where it has none."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1] if names else None


def input_length(network: nn.Module, linear: str) -> int:
    """Return how many inputs a linear layer of a network has."""
    layer = network.get_submodule(linear)
    assert isinstance(layer, nn.Linear), "asked only of linear layers"
    return layer.in_features


def cut_classifier(network: nn.Module, classifier: str) -> nn.Module:
    """Put nothing in the place of a layer, so that the network returns what the layer would have got.

    Args:
      network: changed in place.
      classifier: name of the layer.
    """
    parent, _, child = classifier.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network to look at its layers, without weights where it can be built so."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # its constructor computes with tensors, as RegNet's does
        with torch.random.fork_rng(devices=[]):
            return build()
