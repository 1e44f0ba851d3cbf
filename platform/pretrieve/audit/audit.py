"""Which source images show what a test image shows: similar hashes suggest pairs, and their pixels decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.calibration import AuditThresholds, likeness
from pretrieve.audit.hashed_images import HashedImages
from pretrieve.audit.perceptual_hash import Hashes, matches_within, mirrored
from pretrieve.audit.report import LeakPair
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.verification import align

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Pairs of a source row and a test row, (P,) int64 each, every pair once, by source row and then by test row.

    `hash_distances`, (P,) int64 bits, are the least over windows and mirroring.
    """

    source: Indices
    test: Indices
    hash_distances: Indices

    def __len__(self) -> int:
        return len(self.source)


def find_leaks(
    source: HashedImages, test: HashedImages, thresholds: AuditThresholds, settings: AuditSettings
) -> tuple[list[LeakPair], int]:
    """Find the source images that show what a test image shows: resized, re-compressed, mirrored or cropped.

    Pairs with similar hashes are candidates; each pair is then aligned and compared pixel by pixel. A blank image shows
    nothing, so it is in no pair. The result for a source image depends on no other source image.

    Returns:
      The pairs, by source row and then by test row, and the number of candidates.
    """
    candidates = hash_candidates(source.hashes, test.hashes, math.floor(thresholds.hash_distance.value))
    fits = align(
        source.images[candidates.source],
        test.images[candidates.test],
        smallest_side=settings.smallest_side,
        step=settings.window_step,
    )
    scores = likeness(fits)
    leaks = [
        LeakPair(
            source_index=int(candidates.source[pair]),
            test_index=int(candidates.test[pair]),
            kind=fits.kind(pair),
            likeness=float(scores[pair]),
            correlation=float(fits.correlations[pair]),
            detail=float(fits.details[pair]),
            colour_error=float(fits.colour_errors[pair]),
            hash_distance=int(candidates.hash_distances[pair]),
        )
        for pair in np.flatnonzero(scores >= thresholds.likeness.value).tolist()
    ]
    return leaks, len(candidates)


def hash_candidates(source: Hashes, test: Hashes, radius: int) -> Candidates:
    """Find the pairs of which one hash, of a window or mirrored, is near a hash of the other's whole image.

    `source` is (W, N, words) uint64, `test` (V, M, words) uint64, the hashes of the whole images first. Near means at
    most `radius` ≥ 0 bits apart.
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
    return Candidates(pairs // num_test, pairs % num_test, bits[order][first_of_pair])
