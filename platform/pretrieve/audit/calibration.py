"""Thresholds of an audit, chosen from known copies of its own test images and from pairs of different images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import derived_seed
from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.perceptual_hash import HashedImages, Hashes, distances, hash_images, mirrored
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.verification import Alignments, align
from pretrieve.errors import UserError

WORST_COLOUR_ERROR = 128.0
"""Mean difference of colours that counts as much as no correlation at all.

The nearest pairs of different photographs, such as two portraits of one person, differ by 27 to 38. Copies, even of low
quality, hardly ever differ by 20."""

LIKENESS_SLACK = 0.2
"""The likeness threshold lies nearer to the copies. Photographs of one sitting or one catalogue, which a sample hardly
ever holds, are more alike (up to 0.68 in Caltech-101) than the nearest pairs of any sample (0.2)."""

POOREST_COPIES = 0.02
"""Share of the known copies that fit worst. A sampled pair that fits better than these is a leak."""

LEAST_LIKENESS_OF_LEAKS = 0.7
"""Such a pair must fit at least this well, however poor the copies are: those of blank images do not fit at all."""


@dataclass(frozen=True)
class Threshold:
    """A decision line between copies and other pairs, with its expected errors.

    Attributes:
      value: a distance of at most this value, or a similarity of at least this value, counts as a copy.
      recall: share of the known copies on the right side.
      false_alarm_rate: share of the known other pairs on the wrong side.
      num_copies: known copies it was chosen from.
      num_others: pairs of different images it was chosen from.
      reaches_recall: false if the bound on false alarms left less recall than was requested.
    """

    value: float
    recall: float
    false_alarm_rate: float
    num_copies: int
    num_others: int
    reaches_recall: bool

    @property
    def false_alarm_bound(self) -> float:
        """Upper bound of the rate, with 95 % confidence if none was seen (the rule of three)."""
        return max(self.false_alarm_rate, 3 / self.num_others)


@dataclass(frozen=True)
class AuditThresholds:
    """The thresholds of hashes and pixels.

    Attributes:
      hash_distance: bits; pairs at most this far apart are verified.
      likeness: of verified pairs, see `likeness`.
      recall_by_alteration: share of the known copies of each alteration that hash and pixels find together.
    """

    hash_distance: Threshold
    likeness: Threshold
    recall_by_alteration: Mapping[str, float]


def likeness(alignments: Alignments) -> NDArray[np.float64]:
    """Score how well pairs fit: (P,), 1 for the same pixels, about 0 or less for different pictures.

    The correlation of the detail decides. The correlation of the grey images, whose large shapes many pictures share,
    and the colours can only lower it. A shrunk or compressed copy keeps its shapes better than its detail, so the
    geometric mean of the two correlations is taken.
    """
    shapes, details = (values.clip(0, 1) for values in (alignments.correlations, alignments.details))
    fits: NDArray[np.float64] = np.sqrt(shapes.astype(np.float64) * details)
    return fits - alignments.colour_errors / WORST_COLOUR_ERROR


def calibrate(source: HashedImages, test: HashedImages, settings: AuditSettings) -> AuditThresholds:
    """Choose the thresholds of hashes and pixels from a sample of the source and a sample of the test images.

    Known copies are made of the test images. Pairs of a source and a test image are used as different images, except
    those that fit as well as known copies do: these are leaks, and as examples of different images they would prevent
    the thresholds from finding any leak. Raises UserError if a sample is empty, or has no pair of different images.
    """
    rng = np.random.default_rng(derived_seed(settings.seed, "audit", "known copies"))
    altered = np.concatenate([alter(test.images, name, rng) for name in ALTERATIONS])
    copies = hash_images(altered, settings, place="the known copies")
    originals, names = np.tile(np.arange(len(test)), len(ALTERATIONS)), np.repeat(list(ALTERATIONS), len(test))
    copy_distances = pair_distances(copies.hashes, test.hashes[:, originals])
    grid = {"smallest_side": settings.smallest_side, "step": settings.window_step}
    copy_likeness = likeness(align(copies.images, test.images[originals], **grid))
    apart = least_distances(source.hashes, test.hashes).reshape(-1)
    nearest = np.argsort(apart, kind="stable")[: settings.num_nearest]
    rows, columns = np.divmod(nearest, len(test))
    likeness_of_nearest = likeness(align(source.images[rows], test.images[columns], **grid))
    are_leaks = likeness_of_nearest >= max(np.quantile(copy_likeness, POOREST_COPIES), LEAST_LIKENESS_OF_LEAKS)
    hash_distance = choose_threshold(
        copy_distances,
        np.delete(apart, nearest[are_leaks]),
        recall=settings.recall,
        max_false_alarm_rate=settings.max_hash_false_alarms,
    )
    threshold = choose_threshold(
        copy_likeness,
        likeness_of_nearest[~are_leaks],
        recall=settings.recall,
        max_false_alarm_rate=settings.max_pixel_false_alarms,
        is_similarity=True,
        slack=LIKENESS_SLACK,
    )
    found = (copy_distances <= hash_distance.value) & (copy_likeness >= threshold.value)
    return AuditThresholds(
        hash_distance=hash_distance,
        likeness=threshold,
        recall_by_alteration={name: float(found[names == name].mean()) for name in ALTERATIONS},
    )


def pair_distances(first: Hashes, second: Hashes) -> NDArray[np.int64]:
    """Return the (P,) least distances of pairs, over windows of either image and over mirroring.

    Both arguments are (W, P, words) hashes of the same pairs, the whole images first.
    """
    orientations = (second, mirrored(second))
    found = [distances(first[:1], turned) for turned in orientations]
    found += [distances(first, turned[:1]) for turned in orientations]
    least: NDArray[np.int64] = np.concatenate(found).min(axis=0)
    return least


def least_distances(source: Hashes, test: Hashes) -> NDArray[np.int64]:
    """Return the (N, M) least distances of all pairs; use it for samples, since N × M numbers must fit into memory."""
    columns = [pair_distances(source, test[:, row : row + 1]) for row in range(test.shape[1])]
    return np.stack(columns, axis=1)


def sample_rows(num_rows: int, num_drawn: int, seed: int, side: str) -> NDArray[np.int64]:
    """Draw rows for the calibration, ascending; return all rows if there are not more than `num_drawn`."""
    if num_rows <= num_drawn:
        return np.arange(num_rows)
    rng = np.random.default_rng(derived_seed(seed, "audit", side))
    return np.sort(rng.choice(num_rows, size=num_drawn, replace=False))


def choose_threshold(
    copies: NDArray[Any],
    others: NDArray[Any],
    *,
    recall: float,
    max_false_alarm_rate: float,
    is_similarity: bool = False,
    slack: float = 0.5,
) -> Threshold:
    """Choose a decision line for a requested recall, with bounded false alarms.

    The recall needs a line at or beyond some value, and the bound allows none beyond another. If both can be satisfied,
    the line lies between the two values, so that no single measured image decides it. If not, the bound holds.

    `copies`, (n,), and `others`, (m,), are measurements of known copies and of pairs of different images; if one is
    empty, a UserError is raised. Of the copies a share `recall`, in (0, 1], should be found; of the others at most
    `max_false_alarm_rate`, in [0, 1), may be taken for copies. With `is_similarity` larger measurements are nearer.
    `slack`, in [0, 1), is the line's position between the two values: 0 is what the recall needs.

    >>> choose_threshold(np.array([1, 2, 3]), np.array([8, 9]), recall=1.0, max_false_alarm_rate=0.0).value
    5.5
    """
    if not (len(copies) and len(others)):
        raise UserError(
            f"a threshold needs copies and other pairs, but there are {len(copies)} and {len(others)}; give more images"
        )
    sign = -1.0 if is_similarity else 1.0
    near, far = np.sort(sign * copies.astype(np.float64)), np.sort(sign * others.astype(np.float64))
    needed = near[int(np.ceil(recall * len(near) - 1e-9)) - 1]
    first_beyond = far[int(max_false_alarm_rate * len(far) + 1e-9)]
    reaches = bool(needed < first_beyond)
    line = needed
    if not reaches:
        line = np.nextafter(first_beyond, -np.inf)
    elif np.isfinite(first_beyond):
        line = needed + slack * (first_beyond - needed)
    return Threshold(
        value=float(sign * line),
        recall=float((near <= line).mean()),
        false_alarm_rate=float((far <= line).mean()),
        num_copies=len(near),
        num_others=len(far),
        reaches_recall=reaches,
    )
