"""What an audit compares and how reliable it must be."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.audit.perceptual_hash import BITS_PER_WORD
from pretrieve.audit.windows import Window, window_grid
from pretrieve.errors import UserError


@dataclass(frozen=True)
class AuditSettings:
    """Settings of an audit.

    Attributes:
      image_size: side in pixels at which images are compared, ≥ 32; larger sizes add nothing that decides.
      num_bits: of a hash, a multiple of 64.
      smallest_side: of a crop to find, as a fraction of the image's side, in [0.5, 1].
      window_step: between neighbouring crops, likewise, > 0.
      recall: share of the known copies that each threshold should keep, in (0, 1].
      max_hash_false_alarms: share of all pairs of different images that may reach verification, in [0, 1).
      max_pixel_false_alarms: share of the nearest pairs of different images that may pass as copies, in [0, 1).
      num_calibration_test: test images whose known copies are measured, at most.
      num_calibration_source: source images that they are compared with, at most.
      num_nearest: pairs of these with the nearest hashes whose pixels are compared, at most.
      seed: of the random draws of the calibration.

    Raises:
      UserError: values are outside their ranges; all of them are named.
    """

    image_size: int = 64
    num_bits: int = 128
    smallest_side: float = 0.8
    window_step: float = 0.05
    recall: float = 0.98
    max_hash_false_alarms: float = 5e-5
    max_pixel_false_alarms: float = 0.002
    num_calibration_test: int = 200
    num_calibration_source: int = 2000
    num_nearest: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "image_size must be at least 32": self.image_size >= 32,
            "num_bits must be a positive multiple of 64": self.num_bits > 0 and self.num_bits % BITS_PER_WORD == 0,
            "num_bits must be at most 512": self.num_bits <= 512,
            "smallest_side must lie in [0.5, 1]": 0.5 <= self.smallest_side <= 1,
            "window_step must lie in [0.01, 0.5]": 0.01 <= self.window_step <= 0.5,
            "recall must lie in (0, 1]": 0 < self.recall <= 1,
            "max_hash_false_alarms must lie in [0, 1)": 0 <= self.max_hash_false_alarms < 1,
            "max_pixel_false_alarms must lie in [0, 1)": 0 <= self.max_pixel_false_alarms < 1,
            "num_calibration_test must be at least 2": self.num_calibration_test >= 2,
            "num_calibration_source must be at least 2": self.num_calibration_source >= 2,
            "num_nearest must be at least 1": self.num_nearest >= 1,
        }
        faults = [f"{rule}, but is {getattr(self, rule.split()[0])}" for rule, holds in rules.items() if not holds]
        if faults:
            raise UserError("the settings of the audit have faults:\n" + "\n".join(f"  - {fault}" for fault in faults))

    @property
    def windows(self) -> tuple[Window, ...]:
        """The crops that are hashed, the whole image first."""
        return window_grid(self.smallest_side, self.window_step)
