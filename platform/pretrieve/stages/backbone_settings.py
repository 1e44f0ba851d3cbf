"""The settings of a pre-trained network: of the one that is trained, or of the one whose features select."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretrieve.components import BACKBONES
from pretrieve.errors import BackboneError
from pretrieve.settings_model import SettingsModel, existing_path
from pretrieve.training.pretraining import PretrainingSettings


class BackboneSettings(SettingsModel):
    """The pre-trained network.

    Attributes:
      name: an architecture; a bare word is short for `name: word`.
      weights: a checkpoint file; relative to the study file.
      pretrain: pre-train from scratch on the study's source, once; excludes `weights`.
      image_size: side of the network's input in pixels; None: the architecture's own.
      resize_size: before cropping, the shorter side of an image becomes this long; None: the architecture's own ratio.

    With neither `weights` nor `pretrain`, the weights that the network's publisher serves are downloaded.
    """

    name: str
    weights: Path | None = None
    pretrain: PretrainingSettings | None = None
    image_size: Annotated[int, Field(ge=1)] | None = None
    resize_size: Annotated[int, Field(ge=1)] | None = None

    @property
    def architecture_name(self) -> str:
        """The name, with its image size, by which every process finds the architecture."""
        from pretrieve.backbones import at_image_size, find_architecture

        return at_image_size(find_architecture(self.name), self.image_size, self.resize_size).name

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        from pretrieve.backbones import find_architecture

        try:
            find_architecture(name)
        except BackboneError as error:
            raise ValueError(str(error)) from error
        return name

    @field_validator("weights")
    @classmethod
    def _file_exists(cls, weights: Path | None, info: ValidationInfo) -> Path | None:
        return None if weights is None else existing_path(weights, info, "file")

    @model_validator(mode="after")
    def _fits_its_architecture(self) -> BackboneSettings:
        from pretrieve.backbones import find_architecture

        try:
            BACKBONES.refuse_unshared(self.architecture_name)
        except BackboneError as error:
            raise ValueError(str(error)) from error
        architecture = find_architecture(self.name)
        if self.weights is not None and self.pretrain is not None:
            raise ValueError("at most one of 'weights' and 'pretrain' may be given")
        if self.weights is None and self.pretrain is None and not architecture.published_weights:
            raise ValueError(f"{self.name!r} has no published weights: 'weights' or 'pretrain' must be given")
        if self.pretrain is not None and architecture.projector is not None:
            raise ValueError(
                f"'pretrain' must be of a network without a projector, but {self.name!r} has one, which pre-training "
                "on labels does not train; give 'weights', or name the network without it"
            )
        return self
