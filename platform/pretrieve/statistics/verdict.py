"""The verdict on each contrast of a study: better, worse, equivalent, or undecided and what would decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import repeat
from typing import Literal

from pretrieve.errors import StatisticsError
from pretrieve.statistics.estimate import Estimate, Interval
from pretrieve.statistics.holm import HolmTest, LevelOf, holm_in_two
from pretrieve.statistics.looks import nominal_level
from pretrieve.statistics.power import detection_power, equivalence_power, least_repeats
from pretrieve.statistics.spread import LEAST_REPEATS, Spread

AVERAGES_SHARE = 0.8
"""Share of the level that contrasts on the average over targets have; those of single targets have the rest."""

Limit = Literal["repeats", "test images", "pool"]


@dataclass(frozen=True)
class Contrast:
    """Two rows that are compared, by the paired difference first minus second.

    Attributes:
      first: name of a row.
      second: name of the row that it is compared with.
      target: name of the target; None for the average over the targets, which is the primary contrast.
      difference: its estimate.
    """

    first: str
    second: str
    target: str | None
    difference: Estimate


@dataclass(frozen=True)
class Verdict:
    """What a study says of one contrast.

    Attributes:
      contrast: what is compared.
      margin: the difference that does not matter, in the unit of the scores.
      differs: the test of no difference. Its adjusted p-value is to be compared with the study's level.
      equals: the test of a difference of the margin or more.
    """

    contrast: Contrast
    margin: float
    differs: HolmTest
    equals: HolmTest

    @property
    def direction(self) -> Literal["better", "worse"] | None:
        """Whether the first row is `better` or `worse` than the second; None if neither is shown."""
        if not self.differs.rejected:
            return None
        return "better" if self.contrast.difference.mean > 0 else "worse"

    @property
    def equivalent(self) -> bool:
        """Whether the difference is less than ± the margin; it may have a direction all the same."""
        return self.equals.rejected

    @property
    def decided(self) -> bool:
        """Whether there is a direction, or the rows are equivalent."""
        return self.differs.rejected or self.equals.rejected

    @property
    def interval(self) -> Interval | None:
        """The interval of the difference at the level that Holm's procedure gave this contrast, None if there is none.

        It excludes zero if and only if there is a direction.
        """
        return self.contrast.difference.interval(1 - self.differs.level)

    @property
    def equivalence_interval(self) -> Interval | None:
        """The interval at the level of the test of equivalence, within ± the margin if and only if that rejects.

        The two intervals differ where Holm's procedure ranks the contrasts otherwise.
        """
        return self.contrast.difference.interval(1 - self.equals.level)

    @cached_property
    def repeats_to_decide(self) -> int | None:
        """How many repeats would decide it with a chance of 80 % if the difference is the one observed.

        None if it is decided, if no number of repeats would do, or if there is no interval to tell it from.
        """
        difference = self.contrast.difference

        def power(spread: Spread) -> float:
            return max(
                detection_power(spread, difference.mean, self.differs.level),
                equivalence_power(spread, self.margin, difference=difference.mean, level=self.equals.level),
            )

        return None if self.decided else least_repeats(power, difference.spread)

    @property
    def limited_by(self) -> Limit | None:
        """What leaves it undecided, None if it is decided.

        The larger part of the variance: the repeats; the test images that all repeats share; or, where every repeat has
        test images of its own, the pool that they are drawn from. Never the repeats if no number of them would do.
        """
        spread = self.contrast.difference.spread
        if self.decided:
            return None
        if spread.num_repeats < LEAST_REPEATS:
            return "repeats"
        if self.repeats_to_decide is None or spread.image_variance > spread.repeat_variance:
            return "pool" if spread.redrawn else "test images"
        return "repeats"

    @property
    def word(self) -> str:
        """`better`, `worse`, `equivalent`, `better, by less than 1.0 points` (or worse) or `undecided`."""
        if self.direction and self.equivalent:
            return f"{self.direction}, by less than {100 * self.margin:.1f} points"
        return self.direction or ("equivalent" if self.equivalent else "undecided")

    @property
    def sentence(self) -> str:
        """The verdict as a sentence for people."""
        where = f"on {self.contrast.target}" if self.contrast.target else "on average over the targets"
        first, second = self.contrast.first, self.contrast.second
        if self.direction:
            said = f"{first} is {self.direction} than {second} {where}{self.word[len(self.direction) :]}"
        elif self.equivalent:
            said = f"{first} and {second} are equivalent {where}, within ± {100 * self.margin:.1f} points"
        else:
            said = f"It is undecided whether {first} differs from {second} {where}"
        return f"{said}: {self._numbers}.{self._what_would_decide}"

    @property
    def _numbers(self) -> str:
        difference = self.contrast.difference
        interval = self.equivalence_interval if self.equivalent and not self.direction else self.interval
        if interval is None:
            listed = ", ".join(f"{100 * score:+.1f}" for score in difference.scores)
            return f"the differences are {listed} points, too few to give an interval"
        low, high, level, _ = interval
        return (
            f"{100 * difference.mean:+.1f} points, {100 * level:.4g} % interval {100 * low:+.1f} to {100 * high:+.1f}"
        )

    @property
    def _what_would_decide(self) -> str:
        if self.limited_by is None:
            return ""
        if self.interval is None:
            return f" An interval needs at least {LEAST_REPEATS} repeats and 2 test images."
        if self.repeats_to_decide is None:
            return f" No number of repeats would decide it: the {self.limited_by} alone leave too wide an interval."
        return f" About {self.repeats_to_decide} repeats would decide it; it is limited by the {self.limited_by}."


def verdicts(
    contrasts: Sequence[Contrast], *, margin: float = 0.01, level: float = 0.05, looks: Sequence[int] = ()
) -> tuple[Verdict, ...]:
    """Judge all contrasts of a study together.

    Of studies without any difference, at most `level` say better or worse of any contrast; of studies whose differences
    all reach the margin, at most `level` say equivalent. Contrasts on the average over targets and those of single
    targets are two families, each corrected by Holm's procedure; the averages have 80 % of the level while both are
    open.

    Args:
      contrasts: of one study. With a single target give its contrasts alone, without an average.
      margin: the difference that does not matter, > 0, in the unit of the scores (0.01: one point).
      level: of the whole study, in (0, 1).
      looks: repeats at each verdict of this study so far and at this one, if it may be extended; see `nominal_level`.
        Empty: this verdict is its only one, as planned.

    Returns:
      The verdicts, in the order of `contrasts`.

    Raises:
      StatisticsError: a range above does not hold.
    """
    if margin <= 0 or not 0 < level < 1:
        raise StatisticsError(
            f"margin must be > 0 and level between 0 and 1, but they are {margin} and {level}; give the margin in the "
            "unit of the scores, such as 0.01 for one point"
        )
    differs = _tests(contrasts, [contrast.difference.p_difference() for contrast in contrasts], level, looks)
    equals = _tests(contrasts, [contrast.difference.p_equivalence(margin) for contrast in contrasts], level, looks)
    return tuple(Verdict(*each) for each in zip(contrasts, repeat(margin), differs, equals, strict=False))


def _tests(
    contrasts: Sequence[Contrast], p_values: Sequence[float], level: float, looks: Sequence[int]
) -> list[HolmTest]:
    def level_of(family_level: float) -> LevelOf:
        return partial(_test_level, family_level, tuple(looks))

    averages = [index for index, contrast in enumerate(contrasts) if contrast.target is None]
    singles = [index for index, contrast in enumerate(contrasts) if contrast.target is not None]
    families = holm_in_two(
        [p_values[index] for index in averages],
        [p_values[index] for index in singles],
        level=level,
        share=AVERAGES_SHARE,
        level_of=level_of,
    )
    tests = dict(zip([*averages, *singles], [*families[0], *families[1]], strict=True))
    return [tests[index] for index in range(len(contrasts))]


def _test_level(family_level: float, looks: tuple[int, ...], undecided: int) -> float:
    level = family_level / undecided
    return nominal_level(looks, level) if looks else level
