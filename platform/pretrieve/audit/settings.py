"""What an audit compares and how reliable it must be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pretrieve.audit.windows import Window, window_grid

BITS_PER_WORD = 64


@dataclass(frozen=True)
class AuditSettings:
    """Settings of an audit.

    Attributes:
      image_size: side in pixels at which images are compared; larger sizes add nothing that decides.
      num_bits: of a hash.
      smallest_side: of a crop to find, as a fraction of the image's side.
      window_step: between neighbouring crops, likewise.
      recall: share of the known copies that each threshold should keep.
      max_hash_false_alarms: share of all pairs of different images that may reach verification.
      max_pixel_false_alarms: share of the nearest pairs of different images that may pass as copies.
      num_calibration_test: test images whose known copies are measured, at most.
      num_calibration_source: source images that they are compared with, at most.
      num_nearest: pairs of these with the nearest hashes whose pixels are compared, at most.
      seed: of the random draws of the calibration.

    Raises:
      pydantic.ValidationError: values are outside their ranges; all of them are named.
    """

    image_size: Annotated[int, Field(ge=32)] = 64
    num_bits: Annotated[int, Field(gt=0, le=512, multiple_of=BITS_PER_WORD)] = 128
    smallest_side: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    window_step: Annotated[float, Field(ge=0.01, le=0.5)] = 0.05
    recall: Annotated[float, Field(gt=0, le=1)] = 0.98
    max_hash_false_alarms: Annotated[float, Field(ge=0, lt=1)] = 5e-5
    max_pixel_false_alarms: Annotated[float, Field(ge=0, lt=1)] = 0.002
    num_calibration_test: Annotated[int, Field(ge=2)] = 200
    num_calibration_source: Annotated[int, Field(ge=2)] = 2000
    num_nearest: Annotated[int, Field(ge=1)] = 1000
    seed: int = 0

    @property
    def windows(self) -> tuple[Window, ...]:
        """The crops that are hashed, the whole image first."""
        return window_grid(self.smallest_side, self.window_step)
