"""Which source images show what a test image shows: near hashes bring pairs up, and their pixels decide."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    """Pairs of a source image and a test image, each pair once, by source row and then by test row.

    Attributes:
      source: (P,) int64 rows.
      test: (P,) int64 rows.
      hash_distances: (P,) int64 bits, the least over windows and mirroring.
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

    Pairs with near hashes are candidates; each is then laid one over the other and compared pixel by pixel. A blank
    image shows nothing, so it is in no pair. What is found of a source image depends on no other source image.

    Returns:
      The pairs, by source row and then by test row, and how many candidates were looked at.
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

    Args:
      source: (W, N, words) uint64, those of the whole images first.
      test: (V, M, words) uint64, likewise.
      radius: bits, ≥ 0.
    """
    found = [
        *(match for hashes in test for match in _with_mirrored(source[0], hashes, radius)),
        *(match for hashes in source[1:] for match in _with_mirrored(hashes, test[0], radius)),
    ]
    return _unique(found, test.shape[1])


def _with_mirrored(source: Hashes, test: Hashes, radius: int) -> Iterator[tuple[Indices, Indices, Indices]]:
    yield from matches_within(source, test, radius)
    yield from matches_within(source, mirrored(test), radius)


def _unique(found: list[tuple[Indices, Indices, Indices]], num_test: int) -> Candidates:
    """Keep each pair once, with its least distance."""
    rows, columns, bits = (
        (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else np.zeros((3, 0), dtype=np.int64)
    )
    order = np.lexsort((bits, rows * num_test + columns))
    pairs, first = np.unique((rows * num_test + columns)[order], return_index=True)
    return Candidates(pairs // num_test, pairs % num_test, bits[order][first])
