"""A backbone with weights: its parts are loaded safely, checked key by key and identified by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pretrieve.artifacts.keys import STORE_VERSION
from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.backbones._base import Architecture, find_architecture, register_architecture
from pretrieve.backbones.parts import BackboneParts
from pretrieve.backbones.state_dicts import (
    StateDict,
    faults_of,
    load_weights,
    read_kept_weights,
    refuse_faults,
    refuse_not_finite,
    write_weights,
)


@dataclass(frozen=True)
class Backbone:
    """A pre-trained network: its architecture, the file of its weights, and the hash that identifies it.

    Its `load` methods raise BackboneError if the file does not fit the architecture, and DamagedArtifactError if the
    file does not hold what was written.

    Attributes:
      architecture_name: see `find_architecture`.
      weights_path: written by `keep_backbone`; a state dict of the trunk alone, saved by `write_weights`, is accepted
        too.
      identity: hash of architecture, preprocessing and every weight.
    """

    architecture_name: str
    weights_path: Path
    identity: str

    @property
    def architecture(self) -> Architecture:
        return find_architecture(self.architecture_name)

    def without_projector(self) -> Backbone:
        """Return a backbone whose features for the selection are those of the trunk: itself, if they are already."""
        architecture = self.architecture
        if architecture.projector is None:
            return self
        plain = replace(architecture, name=f"{architecture.name} without projector", projector=None)
        register_architecture(plain)
        return Backbone(plain.name, self.weights_path, f"{self.identity}-trunk")

    def load(self) -> nn.Module:
        """Build the trunk with its weights, for fine-tuning: (N, 3, S, S) float32 → (N, D) float32."""
        return self._trunk(self._parts())

    def load_feature_network(self) -> nn.Module:
        """Build the network of the selection's features: (N, 3, S, S) float32 → (N, selection_dim) float32.

        It is the trunk, followed by the projector if the architecture has one.
        """
        parts = self._parts()
        trunk, projector = self._trunk(parts), self.architecture.projector
        if projector is None:
            return trunk
        layers = _built(projector.build)
        load_weights(layers, parts.projector, origin=str(self.weights_path), part="projector")
        return nn.Sequential(trunk, layers)

    def load_classifier(self) -> nn.Linear | None:
        """Build the classifier of the pre-training, (N, D) → (N, K_source), or return None if none is stored.

        Its rows are in the order of the pre-training's classes. It has no bias if the checkpoint has none.
        """
        state = self._parts().classifier
        if not state:
            return None
        refuse_faults(_classifier_faults(state, self.architecture), origin=str(self.weights_path))
        weight = state["weight"]
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias="bias" in state)
        for parameter in layer.parameters():  # what the memory held before may be NaN
            nn.init.zeros_(parameter)
        load_weights(layer, state, origin=str(self.weights_path), part="classifier")
        return layer

    def _parts(self) -> BackboneParts:
        return BackboneParts.of_joined(read_kept_weights(self.weights_path))

    def _trunk(self, parts: BackboneParts) -> nn.Module:
        trunk = _built(self.architecture.build)
        load_weights(trunk, parts.trunk, origin=str(self.weights_path))
        return trunk


def parts_of_checkpoint(architecture: Architecture, state: StateDict, *, origin: str) -> BackboneParts:
    """Split a published or a user's checkpoint into parts in float32, and check every key, shape and value.

    `origin` says in messages where the checkpoint comes from. Raises BackboneError, which names the keys of all parts
    that are missing, left over or of another shape, or hold values that are not finite.
    """
    parts = architecture.split(state)
    trunk = _built(architecture.build)
    projector = nn.Sequential() if architecture.projector is None else _built(architecture.projector.build)
    refuse_faults(
        [
            *faults_of(parts.trunk, trunk.state_dict()),
            *faults_of(parts.projector, projector.state_dict(), part="projector"),
            *_classifier_faults(parts.classifier, architecture),
        ],
        origin=origin,
    )
    load_weights(trunk, parts.trunk, origin=origin)
    load_weights(projector, parts.projector, origin=origin, part="projector")
    classifier = {name: value.float() for name, value in parts.classifier.items()}
    zeros = {name: torch.zeros_like(value) for name, value in classifier.items()}
    refuse_not_finite(classifier, zeros, origin=origin, part="classifier")
    return BackboneParts(trunk.state_dict(), projector.state_dict(), classifier)


def keep_backbone(architecture: Architecture, parts: BackboneParts, folder: Path) -> Backbone:
    """Store the parts of a backbone in one file below `folder`, under their identity, unless it is there."""
    state = parts.joined()
    identity = identify(architecture, state)
    path = folder / identity / "weights.pt"
    if not is_kept(path):
        write_weights(state, path)
    return Backbone(architecture.name, path, identity)


def identify(architecture: Architecture, state: StateDict) -> str:
    """Hash what decides a backbone's features: architecture, preprocessing and all weights, see `BackboneParts.joined`.

    Returns 20 hexadecimal digits.
    """
    digest = hashlib.sha256(
        f"{STORE_VERSION}{architecture.name}{architecture.preprocessing}{architecture.version}".encode()
    )
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:20]


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module whose first weights do not matter, without changing the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        return build()


def _classifier_faults(state: StateDict, architecture: Architecture) -> list[str]:
    if not state:
        return []
    rows = state.get("weight", state.get("bias", torch.zeros(0)))
    num_classes = rows.shape[0] if rows.ndim else 0
    expected: dict[str, Tensor] = {"weight": torch.empty((num_classes, architecture.feature_dim), device="meta")}
    if "bias" in state:
        expected["bias"] = torch.empty(num_classes, device="meta")
    return faults_of(state, expected, part="classifier")
