"""The result of the leakage audit for one target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class LeakPair:
    """An image that shows what a test image shows."""

    source_index: int  # of the image that is reused or trained on
    test_index: int
    kind: Literal["same", "mirrored", "cropped", "cropped and mirrored"]  # how the two differ
    likeness: float  # the number that decided, at most 1
    correlation: float  # of the grey images where they fit best
    detail: float  # correlation of the images without their large shapes
    colour_error: float  # mean difference, 0 … 255
    hash_distance: int  # bits


@dataclass(frozen=True)
class LeakRecord(LeakPair):
    """The same with the paths of both."""

    source_path: str
    test_path: str


@dataclass(frozen=True)
class AuditRecord:
    """The result of the leakage audit for one target.

    Attributes:
      side: `source` for the images that are reused, `train` for the target's own.
      pairs: an image of that side and a test image that it shows, by the first, then by the second.
      num_compared: pairs of images that were compared.
      summary: lines on how the pairs were decided, for people.
    """

    RECORD: ClassVar = "audit"
    VERSION: ClassVar = 1

    target: str
    side: Literal["source", "train"]
    pairs: tuple[LeakRecord, ...]
    num_compared: int
    summary: tuple[str, ...]

    @property
    def num_leaking(self) -> int:
        """Images of that side that show a test image."""
        return len({pair.source_index for pair in self.pairs})

    @property
    def num_shown(self) -> int:
        """Test images that they show."""
        return len({pair.test_index for pair in self.pairs})
