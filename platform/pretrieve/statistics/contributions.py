"""What each test image contributes to a row's score, repeat by repeat, aligned by the identity of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import StatisticsError

TOLERANCE = 1e-9
"""Weights of a repeat may miss a sum of one by so much, and those of two rows may differ by so much."""


@dataclass(frozen=True, eq=False)
class TestedImages:
    """The test images of one row in one repeat: the score is the sum of `weights` times `values`.

    Attributes:
      identities: (n,) n ≥ 1 names, each of one image.
      values: (n,) finite; 1.0 or 0.0 for a right or a wrong prediction, or a pseudo-value.
      weights: (n,) > 0, with a sum of 1.
      strata: (n,) the class of each image if the metric gives every class a fixed weight; None otherwise.
    """

    __test__ = False  # pytest would take the name for that of a test

    identities: Sequence[str]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    strata: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.identities), len(self.values), len(self.weights)}
        if self.strata is not None:
            sizes.add(len(self.strata))
        if len(sizes) > 1 or 0 in sizes:
            raise StatisticsError(
                f"tested images must have as many values, weights and strata as identities, and at least 1, but have "
                f"{sorted(sizes)}; give one of each for each image"
            )
        if len(set(self.identities)) < len(self.identities):
            raise StatisticsError(
                f"an image must be tested once a repeat, but of {len(self.identities)} identities only "
                f"{len(set(self.identities))} differ; give every image an identity of its own"
            )
        if not np.isfinite(self.values).all():
            broken = self.identities[int(np.argmin(np.isfinite(self.values)))]
            raise StatisticsError(
                f"values of test images must be finite, but that of {broken!r} is not; score its prediction as wrong"
            )
        if np.min(self.weights) <= 0 or abs(np.sum(self.weights) - 1) > TOLERANCE:
            raise StatisticsError(
                f"weights of test images must be > 0 with a sum of 1, but the least is {np.min(self.weights)} and the "
                f"sum {np.sum(self.weights)}; leave out images that do not count, and divide by the sum"
            )


@dataclass(frozen=True, eq=False)
class Contributions:
    """One row's tested images of R repeats as a table of N images; images that a repeat did not test have weight 0.

    Attributes:
      images: (N,) identities, sorted.
      values: (R, N); 0 where not tested.
      weights: (R, N) ≥ 0; each repeat's sum is 1.
      strata: (N,) classes that have a fixed weight in the metric; all 0 if there are none.
    """

    images: tuple[str, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    strata: NDArray[np.int64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """The score of each repeat, (R,)."""
        scores: NDArray[np.float64] = np.sum(self.weights * self.values, axis=1)
        return scores


def top1_images(identities: Sequence[str], correct: NDArray[np.bool_] | NDArray[np.float64]) -> TestedImages:
    """Return the tested images of one repeat for `top1`: each weighs 1/n.

    Pseudo-values weigh the same and may stand for what is correct.

    >>> top1_images(["a", "b"], np.array([True, False])).weights.tolist()
    [0.5, 0.5]
    """
    num_images = len(identities)
    return TestedImages(identities, np.asarray(correct, float), np.full(num_images, 1 / max(num_images, 1)))


def mean_per_class_images(
    identities: Sequence[str], correct: NDArray[np.bool_], labels: NDArray[np.int64]
) -> TestedImages:
    """Return the tested images of one repeat for `mean_per_class`: each of n_c images of a class weighs 1/(K·n_c).

    K counts the classes that have a test image in this repeat, as the metric does.

    >>> mean_per_class_images(["a", "b", "c"], np.array([True, False, True]), np.array([0, 0, 1])).weights.tolist()
    [0.25, 0.25, 0.5]
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / (len(counts) * counts[classes])
    return TestedImages(identities, np.asarray(correct, float), weights, np.asarray(labels, np.int64))


def contributions(repeats: Sequence[TestedImages]) -> Contributions:
    """Align the tested images of R ≥ 1 repeats of one row by their identities.

    Raises:
      StatisticsError: there is no repeat, or an image has another class in another repeat.
    """
    if not repeats:
        raise StatisticsError("contributions must be of at least 1 repeat, but there is none; run the study's refits")
    images = tuple(sorted({name for repeat in repeats for name in repeat.identities}))
    columns = {name: column for column, name in enumerate(images)}
    values = np.zeros((len(repeats), len(images)))
    weights, strata = np.zeros_like(values), np.full(len(images), -1)
    for row, repeat in enumerate(repeats):
        places = np.array([columns[name] for name in repeat.identities])
        values[row, places], weights[row, places] = repeat.values, repeat.weights
        classes = np.zeros(len(places), int) if repeat.strata is None else repeat.strata
        moved = (strata[places] != -1) & (strata[places] != classes)
        if moved.any():
            name = images[places[int(np.argmax(moved))]]
            raise StatisticsError(
                f"an image must have one class in all repeats, but {name!r} has another one in repeat {row}; give "
                "images that differ identities that differ"
            )
        strata[places] = classes
    return Contributions(images, values, weights, strata)


def paired_difference(first: Contributions, second: Contributions) -> Contributions:
    """Return what each image contributes to the difference of two rows, first minus second.

    Raises:
      StatisticsError: the rows were not tested on the same images with the same weights in each repeat.
    """
    same = first.images == second.images and first.weights.shape == second.weights.shape
    if not same or not np.allclose(first.weights, second.weights, rtol=0, atol=TOLERANCE):
        raise StatisticsError(
            f"rows are compared on the same test images, repeat by repeat, but one has {len(first.weights)} repeats on "
            f"{len(first.images)} images and the other {len(second.weights)} on {len(second.images)}, or their weights "
            "differ; keep the repeats that both have"
        )
    return Contributions(first.images, first.values - second.values, first.weights, first.strata)
