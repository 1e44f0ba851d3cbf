"""Leaks: source images that show what a test image shows. Similar hashes suggest pairs, and their pixels decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.calibration import AuditThresholds, Threshold, likeness
from pretrieve.audit.perceptual_hash import HashedImages, Hashes, matches_within, mirrored
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.verification import align
from pretrieve.records import LeakPair


@dataclass(frozen=True)
class LeakReport:
    """The result of an audit.

    Attributes:
      pairs: by source index, then by test index.
      num_source: source images that were compared; likewise `num_test`.
      num_candidates: pairs whose pixels were compared.
      broken_source: "path: reason" of each source image that does not decode; likewise `broken_test`.
    """

    pairs: tuple[LeakPair, ...]
    thresholds: AuditThresholds
    num_source: int
    num_test: int
    num_candidates: int
    broken_source: tuple[str, ...] = ()
    broken_test: tuple[str, ...] = ()

    @property
    def num_compared(self) -> int:
        return self.num_source * self.num_test

    def summary(self) -> list[str]:
        """Describe in a few lines what was found, how much was compared and how it was decided."""
        thresholds = self.thresholds
        num_leaking = len({pair.source_index for pair in self.pairs})
        num_leaked = len({pair.test_index for pair in self.pairs})
        lines = [
            f"{len(self.pairs)} leaks: {num_leaking:,} of {self.num_source:,} source images show "
            f"{num_leaked:,} of {self.num_test:,} test images",
            f"{self.num_compared:,} pairs compared, {self.num_candidates:,} looked at",
            _describe("hash distance at most", thresholds.hash_distance),
            _describe("likeness at least", thresholds.likeness),
        ]
        recall = ", ".join(f"{name} {share:.1%}" for name, share in thresholds.recall_by_alteration.items())
        if recall:
            lines.append(f"known copies found by hash and pixels: {recall}")
        for side, broken in (("source", self.broken_source), ("test", self.broken_test)):
            if broken:
                lines.append(f"{len(broken)} broken {side} images were left out, the first: {broken[0]}")
        return lines


def find_leaks(
    source: HashedImages, test: HashedImages, thresholds: AuditThresholds, settings: AuditSettings
) -> tuple[list[LeakPair], int]:
    """Find the source images that show what a test image shows: resized, re-compressed, mirrored or cropped.

    Pairs with similar hashes are candidates; each pair is then aligned and compared pixel by pixel. A blank image shows
    nothing, so it is in no pair. The result for a source image depends on no other source image.

    Returns:
      The pairs, by source row and then by test row, and the number of candidates.
    """
    rows, columns, distances = hash_candidates(source.hashes, test.hashes, math.floor(thresholds.hash_distance.value))
    fits = align(
        source.images[rows], test.images[columns], smallest_side=settings.smallest_side, step=settings.window_step
    )
    scores = likeness(fits)
    leaks = [
        LeakPair(
            source_index=int(rows[pair]),
            test_index=int(columns[pair]),
            kind=fits.kind(pair),
            likeness=float(scores[pair]),
            correlation=float(fits.correlations[pair]),
            detail=float(fits.details[pair]),
            colour_error=float(fits.colour_errors[pair]),
            hash_distance=int(distances[pair]),
        )
        for pair in np.flatnonzero(scores >= thresholds.likeness.value).tolist()
    ]
    return leaks, len(rows)


def hash_candidates(
    source: Hashes, test: Hashes, radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the pairs of which one hash, of a window or mirrored, is near a hash of the other's whole image.

    `source` is (W, N, words) uint64, `test` (V, M, words) uint64, the hashes of the whole images first. Near means at
    most `radius` ≥ 0 bits apart.

    Returns:
      Source rows, test rows and distances in bits, (P,) int64 each: every pair once, by source row and then by test
      row, with its least distance over windows and mirroring.
    """
    compared = [(source[0], hashes) for hashes in test] + [(hashes, test[0]) for hashes in source[1:]]
    found = [
        match
        for first, second in compared
        for orientation in (second, mirrored(second))
        for match in matches_within(first, orientation, radius)
    ]
    rows, columns, bits = (
        (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else np.zeros((3, 0), dtype=np.int64)
    )
    # Each pair is kept once, with its least distance.
    num_test = test.shape[1]
    order = np.lexsort((bits, rows * num_test + columns))
    pairs, first_of_pair = np.unique((rows * num_test + columns)[order], return_index=True)
    return pairs // num_test, pairs % num_test, bits[order][first_of_pair]


def _describe(rule: str, threshold: Threshold) -> str:
    short = "" if threshold.reaches_recall else "; less recall than requested, because false alarms are bounded"
    return (
        f"{rule} {threshold.value:.4g}: {threshold.recall:.1%} of {threshold.num_copies:,} known copies, at most "
        f"{threshold.false_alarm_bound:.2g} of {threshold.num_others:,} pairs of different images{short}"
    )
