"""Images of one size with the hashes of their windows: the form of both sides of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.perceptual_hash import Hashes, perceptual_hashes
from pretrieve.audit.settings import AuditSettings
from pretrieve.errors import ImageSetError


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
