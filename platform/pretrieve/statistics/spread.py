"""How far a mean over repeats would move if the study were run again: its variance in two parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import StatisticsError
from pretrieve.statistics.contributions import Contributions

LEAST_REPEATS = 3
"""Below three repeats there is no interval."""
NO_SPREAD = 1e-12
"""Scores in [0, 1] whose range is smaller are equal; the rest is rounding."""


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over repeats, in the part that further repeats shrink and the part that they leave.

    Attributes:
      num_repeats: R ≥ 1.
      repeat_variance: variance of the mean from the repeats, S²/R; infinite below three repeats.
      repeat_df: its degrees of freedom, R − 1 for one target.
      image_variance: variance of the mean from the test images that repeats share. The estimate has no bias, so it is
        negative where the truth is near zero; infinite for a single test image.
      image_error: variance of the estimate `image_variance`.
      redrawn: repeats have test images of their own, so that more repeats test more images of the pool.
    """

    num_repeats: int
    repeat_variance: float
    repeat_df: float
    image_variance: float = 0.0
    image_error: float = 0.0
    redrawn: bool = False

    @property
    def known(self) -> bool:
        """Whether there is an interval: three repeats, two test images."""
        return math.isfinite(self.variance)

    @property
    def variance(self) -> float:
        """Variance of the mean; a negative image part counts as zero."""
        return self.repeat_variance + max(self.image_variance, 0.0)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, in the unit of the scores."""
        return math.sqrt(self.variance)

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's, in [1, 1e6]. An image part that counts as zero still lowers them by its uncertainty."""
        noise = self.repeat_variance**2 / self.repeat_df + self.image_error / 2
        return 1e6 if noise == 0 else min(max(self.variance**2 / noise, 1.0), 1e6)

    def with_repeats(self, num_repeats: int) -> Spread:
        """Return the spread that another number of repeats ≥ 2 would have, with the same images and spread a repeat."""
        return replace(
            self,
            num_repeats=num_repeats,
            repeat_variance=self.repeat_variance * self.num_repeats / num_repeats,
            repeat_df=self.repeat_df * (num_repeats - 1) / max(self.num_repeats - 1, 1),
        )


def typical_spread(repeat_sd: float, image_sd: float, num_images: int, num_targets: int = 1) -> Spread:
    """Return the spread of a paired difference from typical values, where there is no pilot study.

    Args:
      repeat_sd: standard deviation of the difference between repeats, > 0, in scores (0.015: 1.5 points).
      image_sd: standard deviation between images of the difference, averaged over repeats (0.2 for accuracy: the chance
        of a right prediction differs by 20 points between the rows for a typical image); ≥ 0.
      num_images: test images of each target, ≥ 2.
      num_targets: independent targets that the difference is averaged over, ≥ 1.

    Returns:
      The spread at two repeats; `with_repeats` gives that of others.

    Raises:
      StatisticsError: a range above does not hold.
    """
    if not (repeat_sd > 0 and image_sd >= 0 and num_images >= 2 and num_targets >= 1):
        raise StatisticsError(
            "a typical spread needs repeat_sd > 0, image_sd ≥ 0, num_images ≥ 2 and num_targets ≥ 1, but they are "
            f"{repeat_sd}, {image_sd}, {num_images} and {num_targets}; give standard deviations of scores in [0, 1]"
        )
    image_variance = image_sd**2 / num_images / num_targets
    image_error = 2 * image_variance**2 / ((num_images - 1) * num_targets)
    return Spread(2, repeat_sd**2 / 2 / num_targets, num_targets, image_variance, image_error)


def spread_of(table: Contributions, blocks: Sequence[Hashable] | None = None) -> Spread:
    """Estimate the spread of the mean score of a table, with repeats and images as crossed random effects.

    Var(mean) = E[S²]/R + C. S² is the variance of the R scores. C is the mean covariance of the scores of two repeats,
    which comes from the test images that both have: C = mean over r ≠ s of Σᵢ w_ri w_si σ²_i. Its estimate is the mean
    over pairs of repeats of Σᵢ z_ri z_si, with z the weighted residuals from the mean of the repeat, or of class and
    repeat. In a complete table with equal weights both parts together are the mean squares' (MS_repeats + MS_images −
    MS_residual)/(nR).

    Args:
      table: of R repeats.
      blocks: R names where repeats ran on machines of several kinds, None for one kind. What a machine adds to all of
        its repeats is then no spread: S² is the variance within the blocks, with R less the number of blocks degrees of
        freedom, and the mean is that over these machines.

    Returns:
      The spread; unknown below two degrees of freedom. If all repeats of a block have the same score, what single
      images differ between repeats stands in for S².
    """
    num_repeats = len(table.weights)
    redrawn = bool(((table.weights > 0) != (table.weights[0] > 0)).any())
    repeat_df, deviations = _within_blocks(table.scores, blocks or ("",) * num_repeats)
    if repeat_df < LEAST_REPEATS - 1:
        return Spread(num_repeats, math.inf, max(repeat_df, 1), redrawn=redrawn)
    strata = [_residuals(table.values[:, members], table.weights[:, members]) for members in _strata(table)]
    repeat_variance = float(np.sum(deviations**2)) / repeat_df / num_repeats
    if np.ptp(deviations) < NO_SPREAD:
        within = sum(np.sum(residuals**2) - np.sum(residuals.sum(axis=0) ** 2) / num_repeats for residuals, _ in strata)
        repeat_variance = float(within) / (num_repeats * (num_repeats - 1))
    parts = [_shared_images(residuals, weights) for residuals, weights in strata]
    image_variance, image_error = (float(part) for part in np.sum(parts, axis=0))
    return Spread(num_repeats, repeat_variance, repeat_df, image_variance, image_error, redrawn)


def average_spread(spreads: Sequence[Spread]) -> Spread:
    """Return the spread of the mean of independent means, each with its spread; T ≥ 1 of the same number of repeats.

    Raises:
      StatisticsError: there is none, or the numbers of repeats differ.
    """
    if len({spread.num_repeats for spread in spreads}) != 1:
        raise StatisticsError(
            "targets are averaged over the same repeats, but the numbers of their repeats are "
            f"{[spread.num_repeats for spread in spreads]}; keep the repeats that all targets have"
        )
    count = len(spreads)
    repeat_variance = sum(spread.repeat_variance for spread in spreads)
    repeat_df = sum(spread.repeat_df for spread in spreads)
    if 0 < repeat_variance < math.inf:
        repeat_df = repeat_variance**2 / sum(spread.repeat_variance**2 / spread.repeat_df for spread in spreads)
    return Spread(
        spreads[0].num_repeats,
        repeat_variance / count**2,
        repeat_df,
        sum(spread.image_variance for spread in spreads) / count**2,
        sum(spread.image_error for spread in spreads) / count**4,
        any(spread.redrawn for spread in spreads),
    )


def resplit_spread(scores: NDArray[np.float64], *, num_train: int, num_test: int) -> Spread:
    """Estimate the spread of the mean of plain re-splits, with the correction of Nadeau and Bengio (2003).

    The same images are divided anew into train and test in each of R repeats, so scores are not independent:
    Var(mean) = S²(1/R + n_test/n_train), with R − 1 degrees of freedom. It needs the scores alone. It assumes that the
    scores of two repeats correlate as the share of test images, n_test/(n_test + n_train).

    Args:
      scores: (R,), or differences of scores.
      num_train: images that are trained on in each repeat, ≥ 1.
      num_test: images that are tested in each repeat, ≥ 1.

    Raises:
      StatisticsError: a range above does not hold.
    """
    if num_train < 1 or num_test < 1:
        raise StatisticsError(
            f"re-splits must train and test on at least 1 image, but num_train is {num_train} and num_test {num_test}; "
            "give the sizes of the split"
        )
    count = len(scores)
    if count < LEAST_REPEATS:
        return Spread(count, math.inf, count - 1, redrawn=True)
    spread = float(np.var(scores, ddof=1))
    repeat_variance, image_variance = spread / count, spread * num_test / num_train
    # Both parts come from one S², so that the sum keeps its R − 1 degrees of freedom.
    image_error = 2 * ((repeat_variance + image_variance) ** 2 - repeat_variance**2) / (count - 1)
    return Spread(count, repeat_variance, count - 1, image_variance, image_error, redrawn=True)


def _within_blocks(scores: NDArray[np.float64], blocks: Sequence[Hashable]) -> tuple[int, NDArray[np.float64]]:
    """Return the degrees of freedom within blocks, and each score less the mean of its block."""
    if len(blocks) != len(scores):
        raise StatisticsError(
            f"each repeat must have a block, but there are {len(blocks)} blocks for {len(scores)} repeats; name the "
            "machine of each repeat"
        )
    names = {name: number for number, name in enumerate(dict.fromkeys(blocks))}
    of_repeat = np.array([names[name] for name in blocks])
    means = np.bincount(of_repeat, scores) / np.bincount(of_repeat)
    return len(scores) - len(names), scores - means[of_repeat]


def _strata(table: Contributions) -> list[NDArray[np.bool_]]:
    """Return the images of each stratum; those with fewer than two images in a repeat are merged into one."""
    _, strata = np.unique(table.strata, return_inverse=True)
    counts = np.stack([np.bincount(strata, tested) for tested in table.weights > 0])
    is_small: NDArray[np.bool_] = np.any(counts < 2, axis=0)
    if is_small.any() and counts[:, is_small].sum(axis=1).min() < 2:
        return [np.ones(len(strata), bool)]
    merged = np.where(is_small[strata], -1, strata)
    return [merged == stratum for stratum in np.unique(merged)]


def _residuals(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight times value less the repeat's mean, and the weights; both (R, n) of one stratum."""
    means = np.sum(weights * values, axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    return weights * (values - means), weights


def _shared_images(residuals: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean covariance of two repeats through the images of one stratum, and the variance of this estimate.

    Residuals lose a part of the images' variance to the mean that they are taken from; the ratio of what is wanted to
    what their products hold on average gives it back (n/(n − 1) in a complete table with equal weights).
    """
    num_repeats, num_images = weights.shape
    overlap = weights @ weights.T
    shares = weights / weights.sum(axis=1, keepdims=True)
    lost = (weights * shares) @ weights.T
    held = overlap * (1 + shares @ shares.T) - lost - lost.T
    wanted, held_total = (float(matrix.sum() - np.trace(matrix)) for matrix in (overlap, held))
    if wanted == 0:
        return 0.0, 0.0
    if num_images < 2 or held_total < NO_SPREAD * wanted:
        return math.inf, math.inf
    products = residuals.sum(axis=0) ** 2 - (residuals**2).sum(axis=0)
    products *= wanted / held_total / (num_repeats * (num_repeats - 1))
    return float(products.sum()), float(np.var(products, ddof=1)) * num_images
