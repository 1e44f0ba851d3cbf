"""Whether the intervals and verdicts of `pretrieve.statistics` keep what they say, in simulated studies.

    python benchmarks/coverage_of_intervals.py --studies 10000

Two rows are tested in every repeat. A prediction is right with the chance logit⁻¹(image + repeat + row + their
interactions), and the truth is the expected difference over draws of labelled images (from the study's pool, where it
has one) and over all test images of the kind. Prints two tables in Markdown. The first: how often the 95 % interval
of the paired difference covers the truth, and for comparison that of Student's t over the repeats alone; how often
rows are called equivalent where the true difference is just the margin, at most (for a margin that is far wider than
the interval: how often the interval ends short of the truth, on the side where this is more frequent); how often a
difference is found, and what the power function says. The second: how many studies of four targets without any
difference say better or worse of anything.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtri, stdtrit

from pretrieve.statistics import Contrast, Estimate, average_over_targets, detection_power, estimate, verdicts
from pretrieve.statistics.contributions import Contributions
from pretrieve.statistics.spread import Spread

Array = NDArray[np.float64]

LOOKS = (5, 10, 20, 30, 60, 100)
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
QUANTILES = (np.arange(2000) + 0.5) / 2000


@dataclass(frozen=True)
class World:
    """What a study is drawn from; standard deviations are in logits.

    Attributes:
      repeats: R.
      images: test images of a repeat.
      effect: true difference of the rows, in points.
      mean_logit: of an image's chance; 6 is a score near 100 %.
      row_repeat_sd: how far a repeat moves one row and not the other.
      row_image_sd: how far an image suits one row and not the other.
      tails: degrees of freedom of Student's t, for images and repeats; None for the normal distribution.
      class_sizes: test images of each class where the metric is `mean_per_class`.
      pool: test images that those of a repeat are drawn from, where they are redrawn; 0: all repeats have the same.
      labelled_pool: images that half are drawn from in each repeat to be labelled, 0: without end.
    """

    name: str
    repeats: int
    images: int
    effect: float
    mean_logit: float = 1.0
    image_sd: float = 2.0
    repeat_sd: float = 0.15
    row_repeat_sd: float = 0.1
    row_image_sd: float = 0.6
    tails: int | None = None
    class_sizes: tuple[int, ...] = ()
    pool: int = 0
    labelled_pool: int = 0


SIZES = (3, 5, 8, 12, 20, 30, 40, 50, 60, 72)

WORLDS = (
    World("few repeats, few images", 5, 200, 0.0),
    World("few repeats, many images", 5, 600, 0.8, row_image_sd=0.3),
    World("few images", 10, 200, 0.8),
    World("many images", 10, 600, 0.0, row_image_sd=0.3),
    World("many repeats, few images", 30, 200, 0.0),
    World("many repeats, many images", 30, 2000, 0.8, row_image_sd=0.3),
    World("near 100 %", 10, 500, 0.0, mean_logit=6.0),
    World("near 100 %, many repeats", 30, 500, 0.8, mean_logit=6.0),
    World("heavy tails", 10, 300, 0.8, tails=3),
    World("unequal classes", 10, 300, 0.0, class_sizes=SIZES),
    World("unequal classes, many repeats", 30, 300, 0.8, class_sizes=SIZES),
    World("overlapping draws", 30, 100, 0.8, pool=400, labelled_pool=60),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000, help="simulated studies in each world")
    parser.add_argument(
        "--studies-without", type=int, default=2000, help="studies of four targets without a difference"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        "| world | repeats | images | true difference | covered | by t over repeats | ± | wrongly equivalent | found "
        "| power |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for index, world in enumerate(WORLDS):
        print(row_of(world, arguments.studies, np.random.default_rng([arguments.seed, index])), flush=True)
    print("\n| four targets without a difference | better or worse anywhere | of the average |\n|---|---|---|")
    for looks in ((5,), (10,), (30,), LOOKS[:4], LOOKS):
        print(row_without(looks, arguments.studies_without, np.random.default_rng(arguments.seed)), flush=True)


@dataclass
class Tally:
    """What the studies of one world said, as shares or means of all."""

    covered: float = 0.0
    covered_by_t: float = 0.0
    half_width: float = 0.0
    above: float = 0.0
    below: float = 0.0
    found: float = 0.0
    repeat_variance: float = 0.0
    image_variance: float = 0.0
    image_error: float = 0.0


def row_of(world: World, num_studies: int, rng: np.random.Generator) -> str:
    draw, tally = study_of(world), Tally()
    truths = np.empty(num_studies)
    for study in range(num_studies):
        table, truths[study] = draw(rng)
        count(tally, estimate(table), float(truths[study]))
    for field in fields(tally):
        setattr(tally, field.name, getattr(tally, field.name) / num_studies)
    spread = Spread(world.repeats, tally.repeat_variance, world.repeats - 1, tally.image_variance, tally.image_error)
    ends = ["–"] * 2
    if world.effect:
        power = np.mean([detection_power(spread, truth) for truth in np.quantile(truths, QUANTILES[::20])])
        ends = [f"{100 * share:.1f} %" for share in (tally.found, power)]
    cells = [
        world.name,
        str(world.repeats),
        str(world.images),
        f"{world.effect:.1f}",
        f"{100 * tally.covered:.1f} %",
        f"{100 * tally.covered_by_t:.1f} %",
        f"{100 * tally.half_width:.2f}",
        f"{100 * max(tally.above, tally.below):.1f} %",
        *ends,
    ]
    return f"| {' | '.join(cells)} |"


def count(tally: Tally, difference: Estimate, truth: float) -> None:
    spread = difference.spread
    half_width = float(stdtrit(spread.degrees_of_freedom, 0.975)) * spread.standard_error
    by_t = float(stdtrit(spread.num_repeats - 1, 0.975)) * spread.repeat_variance**0.5
    tally.covered += abs(difference.mean - truth) <= half_width
    tally.covered_by_t += abs(difference.mean - truth) <= by_t
    tally.half_width += half_width
    tally.above += difference.mean - half_width > truth
    tally.below += difference.mean + half_width < truth
    tally.found += difference.p_difference() <= 0.05
    tally.repeat_variance += spread.repeat_variance
    tally.image_variance += spread.image_variance
    tally.image_error += spread.image_error


def study_of(world: World) -> Callable[[np.random.Generator], tuple[Contributions, float]]:
    """Return what draws the table of paired differences of one study, and its true difference."""
    offsets, row_offsets = class_offsets(world)
    effect = brentq(
        lambda shift: (
            true_score(world, offsets + row_offsets + shift) - true_score(world, offsets) - world.effect / 100
        ),
        -3,
        3,
    )
    shifts = np.stack([offsets, offsets + row_offsets + effect])
    strata = np.repeat(np.arange(len(offsets)), world.class_sizes or [world.pool or world.images])

    def draw(rng: np.random.Generator) -> tuple[Contributions, float]:
        weights = drawn_weights(world, strata, rng)
        size, names = len(strata), tuple(str(image) for image in range(len(strata)))
        common = variates(world, world.image_sd, size, rng) + variates(world, world.repeat_sd, (world.repeats, 1), rng)
        right, truths = [], []
        for shift in shifts:
            by_repeat, mean, spread = repeat_effects(world, len(offsets), rng)
            own = world.mean_logit + shift[strata] + rng.normal(0, world.row_image_sd, size)
            chance = expit((common + own + by_repeat[:, strata]).astype(np.float32))
            right.append(rng.random(chance.shape, np.float32) < chance)
            truths.append(true_score(world, shift + mean, spread) if world.labelled_pool else 0.0)
        truth = truths[1] - truths[0] if world.labelled_pool else world.effect / 100
        return Contributions(names, right[1].astype(float) - right[0], weights, strata), truth

    return draw


def class_offsets(world: World) -> tuple[Array, Array]:
    """Return how easy each class is, and how much easier for the second row."""
    ranks = np.arange(len(world.class_sizes))
    if not len(ranks):
        return np.zeros(1), np.zeros(1)
    return ndtri((ranks + 0.5) / len(ranks)), np.where(ranks % 2, 0.3, -0.3)


def variates(world: World, sd: float, size: int | tuple[int, int], rng: np.random.Generator) -> Array:
    return rng.normal(0, sd, size) if world.tails is None else rng.standard_t(world.tails, size) * sd / np.sqrt(3)


def drawn_weights(world: World, strata: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return the weights of the images in each repeat, (R, N)."""
    if not world.pool:
        sizes = np.bincount(strata)
        return np.tile(1 / (len(sizes) * sizes[strata]), (world.repeats, 1))
    order = rng.random((world.repeats, world.pool)).argsort(axis=1)
    return np.where(order < world.images, 1 / world.images, 0.0)


def repeat_effects(world: World, num_classes: int, rng: np.random.Generator) -> tuple[Array, float, float]:
    """Return the effects of the repeats on one row, (R, classes), and their mean and sd over draws from the pool."""
    if not world.labelled_pool:
        by_row = variates(world, world.row_repeat_sd, (world.repeats, 1), rng)
        by_class = rng.normal(0, world.row_repeat_sd if num_classes > 1 else 0, (world.repeats, num_classes))
        return by_row + by_class, 0.0, world.row_repeat_sd
    size = world.labelled_pool
    influences = rng.normal(0, world.row_repeat_sd * np.sqrt(size), size)
    drawn = rng.random((world.repeats, size)).argsort(axis=1) < size // 2
    means = (drawn @ influences) / (size // 2)
    return means[:, None], float(influences.mean()), float(influences.std(ddof=1) / np.sqrt(size))


def true_score(world: World, shifts: Array, row_repeat_sd: float | None = None) -> float:
    """Return the expected score of a row whose classes have these shifts: over images and repeats without end."""
    row_repeat_sd = world.row_repeat_sd if row_repeat_sd is None else row_repeat_sd
    classes = len(np.atleast_1d(shifts)) > 1
    normal = [world.row_image_sd, row_repeat_sd if classes else 0.0]
    heavy = [world.image_sd, world.repeat_sd, row_repeat_sd]
    if world.tails is None:
        centres, sd = np.zeros(1), float(np.hypot.reduce([*normal, *heavy]))
    else:  # the sum of three t variates, drawn once
        rng = np.random.default_rng(3)
        centres, sd = sum(variates(world, each, 400_000, rng) for each in heavy), float(np.hypot.reduce(normal))
        centres = np.quantile(centres, QUANTILES)
    logits = world.mean_logit + np.atleast_1d(shifts)[:, None, None] + centres[:, None] + sd * NODES
    return float((expit(logits) @ NODE_WEIGHTS).mean() / NODE_WEIGHTS.sum())


def row_without(looks: Sequence[int], num_studies: int, rng: np.random.Generator) -> str:
    """Return how many studies of four targets without a difference say better or worse at any of these looks."""
    draws = [study_of(World("", looks[-1], images, 0.0)) for images in (100, 200, 200, 300)]
    anywhere = of_average = 0
    for _ in range(num_studies):
        tables = [draw(rng)[0] for draw in draws]
        said = [directions(tables, looks[: number + 1], extended=len(looks) > 1) for number in range(len(looks))]
        anywhere += any(any(directed) for directed in said)
        of_average += any(directed[0] for directed in said)
    shares = f"{anywhere / num_studies:.1%} | {of_average / num_studies:.1%}"
    return f"| looks at {', '.join(map(str, looks))} repeats | {shares} |"


def directions(tables: Sequence[Contributions], looks: Sequence[int], *, extended: bool) -> list[bool]:
    """Return whether the average, and each target, has a direction at the last of these looks."""
    parts = [
        Contributions(table.images, table.values[: looks[-1]], table.weights[: looks[-1]], table.strata)
        for table in tables
    ]
    estimates = [estimate(part) for part in parts]
    named = [(None, average_over_targets(estimates)), *((str(index), each) for index, each in enumerate(estimates))]
    contrasts = [Contrast("a", "b", target, difference) for target, difference in named]
    return [verdict.direction is not None for verdict in verdicts(contrasts, looks=looks if extended else ())]


if __name__ == "__main__":
    main()
