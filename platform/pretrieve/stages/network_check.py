"""Stage: the networks of a study are tried on two images before it runs; each once, as the store keeps the result."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.artifacts.store import BACKBONES, ArtifactStore
from pretrieve.backbones import Architecture, find_architecture
from pretrieve.backbones.network_check import check_network
from pretrieve.backbones.parts import without_memory
from pretrieve.errors import BackboneError, in_words
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context

CHECKED = "checked"
VERSION = 1
"""Raise it when a check finds more than before."""


class NetworkCheckStage(Stage[tuple[str, ...]]):
    """Passes two images through the network that is trained, and the one whose features select.

    Returns what the user should know of networks that can be used.
    """

    name = "network check"
    place = 5
    is_shared = True

    def load(self, context: Context) -> tuple[str, ...]:
        """Check the networks, in seconds, and keep the result.

        Raises:
          BackboneError: a network cannot be used; nothing is kept of this, so that the next run tries it again.
        """
        settings, notices = context.settings, []
        is_trained = any(not settings.method(name).is_fitted for name in settings.method_names)
        networks = {settings.backbone.architecture_name: is_trained}
        networks.setdefault(settings.selection_backbone.architecture_name, False)
        for name, learns in networks.items():
            architecture = find_architecture(name)
            path = _path(context.store, architecture, learns)
            if not is_kept(path):
                write_sealed_json(path, {"network": name, "order": check_network(architecture, is_trained=learns)})
            if reason := read_sealed_json(path)["order"]:
                notices.append(
                    f"{name} computes in torch's own order of memory, which is slower than channels-last: {reason}"
                )
                context.clock.notice(notices[-1])
        return tuple(notices)


def _path(store: ArtifactStore, architecture: Architecture, is_trained: bool) -> Path:
    """Return where the result is kept, for this very network: a user may change its code and not its version."""
    try:
        network = without_memory(architecture.build)
    except Exception as fault:
        raise BackboneError(
            f"a backbone must be built without an error, but {architecture.name!r} ends in {in_words(fault)}; mend it, "
            "or take another network"
        ) from fault
    shapes = [(name, str(each.dtype), tuple(each.shape)) for name, each in network.state_dict().items()]
    key = content_key(
        kind="network check",
        version=VERSION,
        architecture=architecture.name,
        architecture_version=architecture.version,
        preprocessing=architecture.preprocessing.to_dict(),
        structure=hashlib.sha256(f"{network}{shapes}".encode()).hexdigest(),
        is_trained=is_trained,
        torch=torch.__version__,
    )
    return store.path(BACKBONES, f"{CHECKED}/{key}.json")
