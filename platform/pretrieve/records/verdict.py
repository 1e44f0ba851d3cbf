"""What a study says of its contrasts, as a typed record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

CHOSEN_ONCE = "Configurations were chosen in the first repeat alone: the interval does not cover the choice."
"""Said of a study with `choose: first_repeat`."""


@dataclass(frozen=True)
class ContrastVerdict:
    """The verdict on one contrast: the paired difference of two rows, first minus second.

    Attributes:
      first, second: names of rows.
      target: name of the target; None for the average over the targets, the primary contrast.
      word: `better`, `worse`, `equivalent`, `better, by less than … points` or `undecided`.
      sentence: the verdict for people.
      differences: of each repeat, in [−1, 1].
      mean: their mean.
      low, high: ends of its interval; None below three repeats.
      level: of the interval, such as 0.95, after the corrections.
      is_exploratory: whether the contrast was not named before the first refit.
      repeats_to_decide: how many repeats would decide it with a chance of 80 %; None if it is decided, or if no number
        would.
    """

    first: str
    second: str
    target: str | None
    word: str
    sentence: str
    differences: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    level: float | None
    is_exploratory: bool = False
    repeats_to_decide: int | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is a direction, or the rows are equivalent."""
        return self.word != "undecided"


@dataclass(frozen=True)
class VerdictRecord:
    """The verdicts of a study.

    Attributes:
      margin: the difference that does not matter, in (0, 1]; 0.01 is a point.
      num_repeats: repeats that they rest on: those that all rows of the contrasts have on all targets.
      looks: numbers of repeats at which verdicts were given, this one included.
      contrasts: those on the average over the targets first.
    """

    RECORD: ClassVar = "verdict"
    VERSION: ClassVar = 1

    margin: float
    num_repeats: int
    looks: tuple[int, ...]
    contrasts: tuple[ContrastVerdict, ...]

    @property
    def primary(self) -> tuple[ContrastVerdict, ...]:
        """The contrasts that a study is asked for first: those on the average, or of its single target."""
        return tuple(each for each in self.contrasts if each.target is None) or self.contrasts
