"""The parts of a pre-trained network: trunk, projector, classifier; and how published checkpoints hold them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pretrieve.backbones.state_dicts import StateDict

PROJECTOR = "projector/"
CLASSIFIER = "classifier/"
"""Prefixes in a kept file; the trunk's own keys stand bare. No module's name has a slash, so none can be mistaken."""


@dataclass(frozen=True)
class BackboneParts:
    """The weights of a pre-trained network, apart.

    Attributes:
      trunk: what is fine-tuned, images → (N, D).
      projector: what stands between the trunk and the features of the selection, (N, D) → (N, projected_dim); empty
        where nothing does.
      classifier: `weight` (K_source, D) and `bias` (K_source,) of the layer that told the pre-training's classes
        apart; empty where the checkpoint has none.
    """

    trunk: StateDict
    projector: StateDict = field(default_factory=dict)
    classifier: StateDict = field(default_factory=dict)

    def joined(self) -> StateDict:
        """Return all weights in one mapping, as a kept file has them."""
        return (
            self.trunk
            | {PROJECTOR + name: value for name, value in self.projector.items()}
            | {CLASSIFIER + name: value for name, value in self.classifier.items()}
        )

    @classmethod
    def of_joined(cls, state: StateDict) -> BackboneParts:
        """Take `joined` apart; a trunk's plain state dict is one too."""
        projector, rest = take_prefix(state, PROJECTOR)
        classifier, trunk = take_prefix(rest, CLASSIFIER)
        return cls(trunk, projector, classifier)


def split_at_classifier(state: StateDict, *, classifier: str = "fc") -> BackboneParts:
    """Take a whole classifier's checkpoint apart.

    Args:
      state: of the whole network, or of its trunk alone; `module.` before every key, as `nn.DataParallel` leaves it, is
        dropped.
      classifier: name of its last linear layer.

    Returns:
      Trunk and classifier.
    """
    last, trunk = take_prefix(without_data_parallel(state), f"{classifier}.")
    return BackboneParts(trunk, classifier=last)


def without_data_parallel(state: StateDict) -> StateDict:
    """Drop the `module.` that `nn.DataParallel` puts before every key."""
    inner, rest = take_prefix(state, "module.")
    return state if rest else inner


def take_prefix(state: StateDict, prefix: str) -> tuple[StateDict, StateDict]:
    """Part the keys with a prefix, which they lose, from the others."""
    with_prefix = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return with_prefix, {name: value for name, value in state.items() if not name.startswith(prefix)}
