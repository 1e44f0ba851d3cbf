"""Perceptual hashes: the signs of an image's low frequencies, which survive resizing and compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.settings import BITS_PER_WORD, AuditSettings
from pretrieve.audit.windows import Floats, Window, to_grey, window_matrices
from pretrieve.errors import ImageSetError

Hashes = NDArray[np.uint64]

NUM_CELLS = 48
"""Cells along an image's side from which frequencies are computed: over twice the highest frequency of 256 bits."""

BLOCK_ROWS, BLOCK_COLUMNS = 64, 4096
"""Pairs compared at a time: 2 MB of differences fit a processor's cache."""


@dataclass(frozen=True)
class HashedImages:
    """N images, (N, S, S, 3) uint8 RGB, and hashes of each window, (W, N, words) uint64, the whole image first."""

    images: NDArray[np.uint8]
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> HashedImages:
        return HashedImages(self.images[rows], self.hashes[:, rows])


def hash_images(images: NDArray[np.uint8], settings: AuditSettings, *, place: str) -> HashedImages:
    """Hash (N, S, S, 3) uint8 RGB images, where S is the settings' image_size; `place` names them in errors.

    Raises ImageSetError if the images have another type or shape.
    """
    size = settings.image_size
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise ImageSetError(
            f"images of {place} must be uint8 (N, {size}, {size}, 3), but are {images.dtype} {images.shape}; resize "
            "them, or set image_size"
        )
    return HashedImages(images, perceptual_hashes(images, settings.windows, num_bits=settings.num_bits))


def perceptual_hashes(images: NDArray[np.uint8], windows: Sequence[Window], *, num_bits: int = 128) -> Hashes:
    """Hash windows of (N, S, S, 3) uint8 RGB images, S ≥ 8, as (W, N, num_bits / 64) uint64.

    The bits are the signs of the lowest frequencies, in a discrete cosine transform of the grey window. The mean is
    left out, so brightness has no effect, and neither has a constant factor. A sign flips only if a frequency is nearly
    absent, so copies differ in few bits and other images in about half. `num_bits` is a multiple of 64; more bits
    separate more images, but also crops less than a window apart.
    """
    rows, columns = hashed_frequencies(num_bits)
    centres = (np.arange(NUM_CELLS) + 0.5) / NUM_CELLS
    waves = np.pi * np.arange(max(rows.max(), columns.max()) + 1)[:, None]
    cosines: Floats = np.cos(waves * centres).astype(np.float32)
    grey = to_grey(images)
    hashes = np.empty((len(windows), len(images), num_bits // BITS_PER_WORD), dtype=np.uint64)
    for number, window in enumerate(windows):
        along_rows, along_columns = (cosines @ matrix for matrix in window_matrices(grey.shape[1], window, NUM_CELLS))
        frequencies = along_rows @ grey @ along_columns.T
        signs = np.ascontiguousarray(frequencies[:, rows, columns] > 0)
        hashes[number] = np.packbits(signs, axis=1).view(np.uint64)
    return hashes


def mirrored(hashes: Hashes) -> Hashes:
    """Return the (…, words) uint64 hashes of the mirrored images: the sign of every odd horizontal frequency flips."""
    _, columns = hashed_frequencies(hashes.shape[-1] * BITS_PER_WORD)
    flipped: Hashes = hashes ^ np.packbits(columns % 2 == 1).view(np.uint64)
    return flipped


@lru_cache
def hashed_frequencies(num_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (num_bits,) vertical and horizontal frequencies to hash: the lowest, without the mean."""
    side = int(np.ceil(np.sqrt(2 * num_bits)))  # holds a quarter disc of so many frequencies
    vertical, horizontal = (grid.reshape(-1) for grid in np.indices((side, side)))
    order = np.argsort(vertical**2 + horizontal**2, kind="stable")[1 : num_bits + 1]
    return vertical[order], horizontal[order]


def distances(first: Hashes, second: Hashes) -> NDArray[np.int64]:
    """Count the bits in which (…, words) uint64 hashes differ, as (…) int64; the leading axes broadcast."""
    ones = count_bits(first ^ second)
    total = ones[..., 0].astype(np.int64)
    for word in range(1, ones.shape[-1]):  # many times faster than a sum over a short axis
        total += ones[..., word]
    return total


def matches_within(
    source: Hashes, test: Hashes, radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Find the pairs whose hashes differ in at most `radius` ≥ 0 bits, with one block of pairs in memory at a time.

    `source` is (N, words) uint64, `test` (M, words) uint64. Yields rows of the source, rows of the test images and
    distances, (n,) int64 each, for every block that has such pairs.
    """
    source_words, test_words = np.ascontiguousarray(source.T), np.ascontiguousarray(test.T)
    for top in range(0, len(source), BLOCK_ROWS):
        for left in range(0, len(test), BLOCK_COLUMNS):
            differing = source_words[:, top : top + BLOCK_ROWS, None] ^ test_words[:, None, left : left + BLOCK_COLUMNS]
            block = count_bits(differing[0]).astype(np.uint16)
            for words in differing[1:]:
                block += count_bits(words)
            if block.min() <= radius:
                rows, columns = np.nonzero(block <= radius)
                yield rows + top, columns + left, block[rows, columns].astype(np.int64)


def count_bits(words: Hashes) -> NDArray[np.uint8]:
    """Count the ones of each word."""
    if hasattr(np, "bitwise_count"):
        counted: NDArray[np.uint8] = np.bitwise_count(words)
        return counted
    # NumPy 1 has no bitwise_count: add neighbouring bits, then pairs, then fours, then all bytes by a product.
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    words = (words & np.uint64(0x3333333333333333)) + ((words >> np.uint64(2)) & np.uint64(0x3333333333333333))
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    summed: NDArray[np.uint8] = ((words * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    return summed
