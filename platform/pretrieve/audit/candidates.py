"""Pairs that may show the same picture: near in their hashes, or near in feature space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.perceptual_hash import Hashes, matches_within, mirrored

Indices = NDArray[np.int64]

BLOCK_ROWS = 1024
"""Source features that are multiplied at a time."""

ROUNDING = 1e-4
"""What float32 products of unit vectors may be off by: pairs so far below the threshold are multiplied again."""

NO_DISTANCE = -1
"""Hash distance of a pair that its features alone brought up."""


@dataclass(frozen=True)
class Candidates:
    """Pairs of a source image and a test image, each pair once, by source row and then by test row.

    Attributes:
      source: (P,) int64 rows.
      test: (P,) int64 rows.
      hash_distances: (P,) int64 bits, the least over windows and mirroring; NO_DISTANCE beyond the radius.
      cosines: (P,) float64, the largest over variants; NaN below the threshold, or without features.
    """

    source: Indices
    test: Indices
    hash_distances: Indices
    cosines: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.source)


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
    return _unique(found, test.shape[1], worst=NO_DISTANCE)


def _with_mirrored(source: Hashes, test: Hashes, radius: int) -> Iterator[tuple[Indices, Indices, Indices]]:
    yield from matches_within(source, test, radius)
    yield from matches_within(source, mirrored(test), radius)


def _unique(found: list[tuple[Indices, Indices, Indices]], num_test: int, *, worst: int) -> Candidates:
    """Keep each pair once, with its least distance."""
    rows, columns, bits = (
        (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else np.zeros((3, 0), dtype=np.int64)
    )
    order = np.lexsort((bits, rows * num_test + columns))
    pairs, first = np.unique((rows * num_test + columns)[order], return_index=True)
    distances = bits[order][first]
    return Candidates(pairs // num_test, pairs % num_test, distances, np.full(len(pairs), np.nan))


def cosine_candidates(source: NDArray[np.float32], test: NDArray[np.float32], threshold: float) -> Candidates:
    """Find the pairs whose features point the same way.

    Args:
      source: (N, D) float32, finite.
      test: (V, M, D) float32, finite: of the test images, and of variants of them, such as mirrored ones.
      threshold: least cosine, in (−1, 1].
    """
    source_units, test_units = unit_rows(source), [unit_rows(variant) for variant in test]
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(source), BLOCK_ROWS):
        for variant in test_units:
            rows, columns = np.nonzero(source_units[start : start + BLOCK_ROWS] @ variant.T >= threshold - ROUNDING)
            for row, column in zip((rows + start).tolist(), columns.tolist(), strict=True):
                # Again, in an order of summation that does not depend on the block.
                cosine = float((source_units[row].astype(np.float64) * variant[column]).sum())
                if cosine >= threshold:
                    found[row, column] = max(cosine, found.get((row, column), -1.0))
    pairs = sorted(found)
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    cosines = np.array([found[pair] for pair in pairs], dtype=np.float64)
    return Candidates(first, second, np.full(len(pairs), NO_DISTANCE), cosines)


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row by its length; a row of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units: NDArray[np.float32] = (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return units


def joined(by_hash: Candidates, by_cosine: Candidates) -> Candidates:
    """Return the pairs that either has, with what each says of them."""
    hash_of = dict(zip(_pairs(by_hash), by_hash.hash_distances.tolist(), strict=True))
    cosine_of = dict(zip(_pairs(by_cosine), by_cosine.cosines.tolist(), strict=True))
    pairs = sorted({*hash_of, *cosine_of})
    source, test = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Candidates(
        source,
        test,
        np.array([hash_of.get(pair, NO_DISTANCE) for pair in pairs], dtype=np.int64),
        np.array([cosine_of.get(pair, np.nan) for pair in pairs], dtype=np.float64),
    )


def _pairs(candidates: Candidates) -> list[tuple[int, int]]:
    return list(zip(candidates.source.tolist(), candidates.test.tolist(), strict=True))
