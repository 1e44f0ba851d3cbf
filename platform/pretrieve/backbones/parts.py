"""The parts of a pre-trained network (trunk, projector, classifier) and how checkpoints hold them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pretrieve.backbones.state_dicts import StateDict

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
