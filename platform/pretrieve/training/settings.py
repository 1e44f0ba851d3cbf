"""Settings of fine-tuning: the protocol of section 4.1 and the hyperparameters that the grid searches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from pretrieve.settings_model import SettingsModel

Fraction = Annotated[float, Field(gt=0, le=1)]


class AugmentationSettings(SettingsModel):
    """Random crops and flips of both streams (RandomResizedCrop, horizontal flip).

    Attributes:
      crop_area: smallest and largest share of the image's area that a crop keeps.
      crop_aspect: smallest and largest width / height of a crop.
      flip: whether half the images are mirrored; wrong for letters and digits.
    """

    crop_area: tuple[Fraction, Fraction] = (0.08, 1.0)
    crop_aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)
    flip: bool = True

    @field_validator("crop_area", "crop_aspect")
    @classmethod
    def _is_ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError("the first bound must not exceed the second")
        return bounds


class TrainingSettings(SettingsModel):
    """What all trials of a study share (section 4.1).

    Attributes:
      epochs: passes over the target's training images.
      batch_size: target images a step; the last partial batch of an epoch is dropped.
      source_batch_size: source images a step of a method that reuses the source; None: as many as target images.
      decay_at: shares of `epochs` after which the learning rate is multiplied by `decay_factor`.
      decay_factor: 0.1 is the paper's division by 10.
      momentum: of SGD with Nesterov's form.
      augmentation: random crops and flips.
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=2)] = 256
    source_batch_size: Annotated[int, Field(ge=2)] | None = None
    decay_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.8)
    decay_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    augmentation: AugmentationSettings = AugmentationSettings()


class Hyperparameters(SettingsModel):
    """One point of the grid (appendix A).

    Attributes:
      lr: learning rate of the backbone.
      weight_decay: L2 penalty on all parameters.
      head_lr_ratio: learning rate of the heads over that of the backbone.
      source_weight: λ of eq. 6; None for methods without a source stream.
    """

    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    head_lr_ratio: Annotated[float, Field(gt=0)] = 10.0
    source_weight: Annotated[float, Field(gt=0)] | None = None

    def describe(self) -> str:
        """Write the point in one line.

        >>> Hyperparameters(lr=0.01, weight_decay=1e-4, source_weight=0.3).describe()
        'lr 0.01, wd 0.0001, λ 0.3, head ×10'
        """
        parts = [f"lr {self.lr:g}", f"wd {self.weight_decay:g}"]
        if self.source_weight is not None:
            parts.append(f"λ {self.source_weight:g}")
        return ", ".join([*parts, f"head ×{self.head_lr_ratio:g}"])
