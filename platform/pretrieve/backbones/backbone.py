"""A backbone with weights: loaded safely, checked key by key, identified by content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pretrieve.atomic_files import replacing
from pretrieve.backbones._base import Architecture, find_architecture
from pretrieve.errors import BackboneError

StateDict = dict[str, Tensor]

CLASSIFIER_KEYS = ("fc.weight", "fc.bias")
"""Of a whole classifier's checkpoint these belong to its head, which fine-tuning replaces."""


@dataclass(frozen=True)
class Backbone:
    """A pre-trained network: what it is, where its weights lie, and the hash that identifies it.

    Attributes:
      architecture_name: see `find_architecture`.
      weights_path: a state dict of the feature extractor, saved by `save_weights`.
      identity: hash of architecture, preprocessing and every weight.
    """

    architecture_name: str
    weights_path: Path
    identity: str

    @property
    def architecture(self) -> Architecture:
        """The kind of network."""
        return find_architecture(self.architecture_name)

    def load(self) -> nn.Module:
        """Build the network with its weights: (N, 3, S, S) float32 → (N, D) float32.

        Raises:
          BackboneError: the file does not fit the architecture.
        """
        network = self.architecture.build()
        load_weights(network, read_weights(self.weights_path), origin=str(self.weights_path))
        return network


def read_weights(path: Path) -> StateDict:
    """Read a checkpoint without running any code it might hold.

    Args:
      path: a `torch.save` file of a state dict, or of a mapping that holds one under `state_dict`.

    Raises:
      BackboneError: the file is missing, or holds more than tensors.
    """
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackboneError(
            f"backbone weights must be a readable state dict of tensors, but {path}: {type(error).__name__}: {error}"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BackboneError(f"backbone weights must be a mapping of names to tensors, but {path} holds another thing")
    return state


def load_weights(network: nn.Module, state: StateDict, *, origin: str) -> None:
    """Copy a state dict into a network after checking every key and shape.

    Raises:
      BackboneError: names the keys that are missing, left over or of another shape.
    """
    state = {name: value for name, value in state.items() if name not in CLASSIFIER_KEYS}
    expected = network.state_dict()
    faults = [f"missing {name}" for name in expected if name not in state]
    faults += [f"left over {name}" for name in state if name not in expected]
    faults += [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if faults:
        shown = "; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else "")
        raise BackboneError(f"the weights of {origin} must fit the network, but: {shown}")
    network.load_state_dict(state)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's state dict atomically, its tensors on the CPU."""
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    with replacing(path) as temporary:
        torch.save(state, temporary)


def identify(architecture: Architecture, state: StateDict) -> str:
    """Hash what decides a backbone's features: architecture, preprocessing and every weight.

    Returns:
      20 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{architecture.name}{architecture.preprocessing}".encode())
    for name in sorted(state):
        if name in CLASSIFIER_KEYS:
            continue
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:20]
