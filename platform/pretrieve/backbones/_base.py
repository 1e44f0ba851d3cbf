"""The contract of a backbone: a network that turns images into features, with its preprocessing and identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from pretrieve.errors import BackboneError, nearest_word


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to a network's input.

    Attributes:
      resize_size: the shorter side is resized to this many pixels, and the centre square cached at it.
      image_size: side of the network's input in pixels, at most `resize_size`.
      mean: RGB mean in [0, 1].
      std: RGB standard deviation in [0, 1].
    """

    resize_size: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able fields."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Preprocessing:
        """Rebuild from `to_dict`."""
        return cls(
            resize_size=fields["resize_size"],
            image_size=fields["image_size"],
            mean=tuple(fields["mean"]),
            std=tuple(fields["std"]),
        )


@dataclass(frozen=True)
class Architecture:
    """A kind of backbone, without weights.

    Attributes:
      name: the word a study uses.
      feature_dim: D, the length of a feature.
      preprocessing: the images it was made for.
      build: makes the module (N, 3, image_size, image_size) float32 → (N, D) float32, freshly initialised from torch's
        global generator.
      published_weights: loads the weights that its publisher serves, or None where there are none.
    """

    name: str
    feature_dim: int
    preprocessing: Preprocessing
    build: Callable[[], nn.Module]
    published_weights: Callable[[], dict[str, Any]] | None = None


_architectures: dict[str, Architecture] = {}


def register_architecture(architecture: Architecture) -> Architecture:
    """Make an architecture known by its name."""
    _architectures[architecture.name] = architecture
    return architecture


def architecture_names() -> list[str]:
    """List the known architectures, sorted."""
    return sorted(_architectures)


def find_architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises:
      BackboneError: there is none.
    """
    if name not in _architectures:
        raise BackboneError(
            f"a backbone must be one of {', '.join(architecture_names())}, but is {name!r}."
            f"{nearest_word(name, architecture_names())}"
        )
    return _architectures[name]
