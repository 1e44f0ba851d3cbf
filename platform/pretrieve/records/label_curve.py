"""What a study says of the number of labels: the score of the linear probe with fewer of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class LabelCurve:
    """The linear probe of a target, fitted to parts of the labelled images.

    Attributes:
      method: its row.
      num_images: labelled images of each part, ascending; the last are all of them. Those of the first repeat.
      scores: test score in [0, 1] of each part, the mean over the repeats.
      last_gain: the score of all images minus that of the part before, the mean over the repeats.
      last_gain_ci95: half width of its 95% interval (Student's t over the repeats); None below three.
      num_repeats: repeats that they are means of.
    """

    target: str
    method: str
    num_images: tuple[int, ...]
    scores: tuple[float, ...]
    last_gain: float
    last_gain_ci95: float | None
    num_repeats: int


@dataclass(frozen=True)
class LabelCurves:
    """The curves of a study's targets, in its order."""

    RECORD: ClassVar = "label curves"
    VERSION: ClassVar = 1

    curves: tuple[LabelCurve, ...]
