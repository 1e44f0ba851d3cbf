"""The contract of a backbone: a network that maps images to features, with its preprocessing and identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from pretrieve.backbones.parts import BackboneParts, split_at_classifier
from pretrieve.backbones.state_dicts import StateDict
from pretrieve.components import BACKBONES
from pretrieve.errors import BackboneError, UserError, in_words, nearest_word


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded image becomes a network's input.

    Attributes:
      resize_size: the shorter side is resized to this many pixels, and the centre square is cached at this size.
      image_size: side of the network's input in pixels, at most `resize_size`.
      mean: RGB mean in [0, 1].
      std: RGB standard deviation in (0, 1].
    """

    resize_size: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize_size:
            raise BackboneError(
                "preprocessing must have 1 ≤ image_size ≤ resize_size, but image_size is "
                f"{self.image_size} and resize_size {self.resize_size}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise BackboneError(
                "preprocessing must have three means and three positive deviations, one for each of R, G and B, but "
                f"mean is {self.mean} and std {self.std}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-compatible values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Preprocessing:
        """Rebuild from `to_dict`."""
        return cls(fields["resize_size"], fields["image_size"], tuple(fields["mean"]), tuple(fields["std"]))


@dataclass(frozen=True)
class Projector:
    """Layers (N, D) → (N, dim), float32, between a trunk and the selection's features; fine-tuning drops them."""

    dim: int
    build: Callable[[], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """A kind of backbone, without weights.

    Attributes:
      name: its name for `find_architecture`, in every process.
      feature_dim: D, the length of the trunk's feature.
      preprocessing: of the images it was made for.
      build: makes the trunk (N, 3, image_size, image_size) float32 → (N, D) float32, freshly initialised from torch's
        global generator.
      published_weights: loads the publisher's checkpoint; None if there is none.
      projector: stands between trunk and the features of the selection; None: they are the trunk's.
      split: splits a published or a user's checkpoint into parts.
      takes_any_size: `build` makes a network that is not tied to its `image_size`.
      at_size: makes the same network for another `image_size`, or returns None if its weights are tied to its own. Its
        `split` also takes checkpoints of the own size. None: other sizes are served by `build`, or not at all.
      version: part of the identity; change it if `build` makes another network from the same weights.
    """

    name: str
    feature_dim: int
    preprocessing: Preprocessing
    build: Callable[[], nn.Module]
    published_weights: Callable[[], StateDict] | None = None
    projector: Projector | None = None
    split: Callable[[StateDict], BackboneParts] = split_at_classifier
    takes_any_size: bool = True
    at_size: Callable[[int], Architecture | None] | None = None
    version: str = ""

    @property
    def selection_dim(self) -> int:
        """Length of the features used for selection."""
        return self.feature_dim if self.projector is None else self.projector.dim

    @property
    def summary(self) -> str:
        """What it does, in one sentence."""
        selected = "" if self.projector is None else f", and for the selection to {self.projector.dim}"
        size = self.preprocessing.image_size
        return f"Map images of {size} × {size} px to {self.feature_dim} features{selected}."


@dataclass(frozen=True)
class Family:
    """Architectures that are created when their name is requested.

    Attributes:
      form: what their names look like, for messages.
      resolve: returns the architecture of a name, or None if the name does not belong to this family.
      names: lists the names, if they can be listed; used only to suggest the nearest word in a message.
    """

    form: str
    resolve: Callable[[str], Architecture | None]
    names: Callable[[], Sequence[str]] = tuple


_architectures: dict[str, Architecture] = {}
_families: list[Family] = []


def register_architecture(architecture: Architecture) -> Architecture:
    """Register an architecture under its name."""
    _architectures[architecture.name] = architecture
    return architecture


def register_family(family: Family) -> None:
    """Register a family, which need not register the architectures that it resolves."""
    _families.append(family)


def architecture_names() -> list[str]:
    """List the architectures that have a name, sorted; families resolve further names."""
    return sorted({*_architectures, *BACKBONES.words()})


def further_names() -> list[str]:
    """Describe the names that families resolve, such as `timm:NAME`."""
    return [family.form for family in _families]


def find_architecture(name: str) -> Architecture:
    """Return the architecture of that name; raise BackboneError if there is none, or it cannot be a backbone.

    The name is registered, or one that a family resolves: of a torchvision classification model, `timm:NAME`,
    `timm:NAME?pool=avg`, `my_module:my_architecture`; each of them also with another image size, as `resnet18@96`.
    """
    if name in _architectures:
        return _architectures[name]
    for family in _families:
        try:
            architecture = family.resolve(name)
        except UserError:
            raise
        except Exception as fault:  # of another library, or of a user's module
            raise BackboneError(
                f"a backbone must be made without an error, but {name!r} ends in {in_words(fault)}; mend it, "
                "or take another network"
            ) from fault
        if architecture is not None:
            return architecture
    known = [*architecture_names(), *(listed for family in _families for listed in family.names())]
    raise BackboneError(
        f"a backbone must be one of {', '.join([*architecture_names(), *further_names()])}, "
        f"but is {name!r}.{nearest_word(name, known)}"
    )
