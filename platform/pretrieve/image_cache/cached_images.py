"""Cached images as training reads them: through memory maps, each image compared with its digest."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from pretrieve.artifacts.sealed_files import SealedFile, read_sealed_array
from pretrieve.image_cache.card import ASPECTS, IMAGES, LABELS, CachedCard, verify_entry

HEADER_BYTES = 4096
"""Upper bound on the length of an .npy file's header."""

LARGE_IMAGE_BYTES = 64 * 1024
"""From this size on, reading ahead costs little compared with copying, and sets may exceed memory. Smaller images are
assumed to stay in memory once read."""


class MappedImages:
    """The images of a sealed file of `write_images`, in memory that all processes of a node share (the page cache).

    Attributes:
      image_shape: (H, W, 3) of one image.
      image_bytes: size of one image.

    Raises:
      OSError: the file cannot be mapped.
      DamagedArtifactError: its seal or its header is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._file = SealedFile(path)
        self._map = self._file.unchecked()
        header = BytesIO(self._file.view(0, min(len(self._file), HEADER_BYTES)))
        npy.read_magic(header)
        shape, _, dtype = npy.read_array_header_1_0(header)
        self._first_byte = header.tell()
        count = int(np.prod(shape))
        pixels = np.frombuffer(self._map, dtype=dtype, count=count, offset=self._first_byte)
        self._pixels: NDArray[np.uint8] = pixels.reshape(shape)
        self.image_shape = shape[1:]
        self.image_bytes = int(np.prod(shape[1:]))

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8, read-only, from the memory map, after comparing it with its digest.

        Raises DamagedArtifactError if its bytes are not what was written.
        """
        start = self._first_byte + row * self.image_bytes
        self._file.check(start, start + self.image_bytes)
        image: NDArray[np.uint8] = self._pixels[row]
        return image

    def read_ahead(self, row: int) -> None:
        """Ask the system to load an image into memory in the background, unless it is there already."""
        start = self._first_byte + row * self.image_bytes
        page_start = start - start % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, page_start, start + self.image_bytes - page_start)


class CachedImages:
    """Images of several entries as one set, on memory maps.

    All processes of a node that open an entry share one copy of its pixels, the system's page cache. Pages that do not
    fit into memory are read again, so a set may be larger than memory.

    Args:
      folders: finished entries of one size, in the order of their rows.

    Attributes:
      labels: (N,) int64.
      aspects: (N,) float32, > 0: width / height of the picture that fills each square; 1 in the layout `square`.

    Raises:
      FileNotFoundError: an entry is not there.
      DamagedArtifactError: a file of an entry does not hold what was written.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        cards = [verify_entry(folder) for folder in folders]
        parts = [folder / part for folder, card in zip(folders, cards, strict=True) for part in card.parts]
        self._maps = [MappedImages(part / IMAGES) for part in parts]
        self._starts = np.cumsum([0, *(len(images) for images in self._maps)])
        self._is_read = np.zeros(self._starts[-1], dtype=bool)
        self.labels = torch.from_numpy(np.concatenate([read_sealed_array(part / LABELS) for part in parts]))
        self.aspects = torch.from_numpy(np.concatenate([read_sealed_array(part / ASPECTS) for part in parts]))
        self._is_decoded = np.concatenate([_is_decoded(card) for card in cards])

    def at_rows(self, rows: NDArray[np.int64]) -> ImagesAtRows:
        """Return some of the images, named by (M,) rows of the entries' image tables joined; broken ones are left out.

        Raises IndexError if a row is not one of the tables'.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._is_decoded):
            raise IndexError(
                f"rows must lie in 0 … {len(self._is_decoded) - 1}, but {rows.min()} … {rows.max()} do not"
            )
        kept = rows[self._is_decoded[rows]]
        return ImagesAtRows(self, torch.from_numpy(np.cumsum(self._is_decoded)[kept] - 1))

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) `indices`.

        Raises:
          IndexError: an index is not in [0, N).
          DamagedArtifactError: an image is not what was written.
        """
        rows = indices.numpy()
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must lie in 0 … {len(self) - 1}, but {rows.min()} … {rows.max()} were requested")
        maps = np.searchsorted(self._starts, rows, side="right") - 1
        offsets = rows - self._starts[maps]
        self._read_ahead(rows, maps, offsets)
        out = np.empty((len(rows), *self._maps[0].image_shape), dtype=np.uint8)
        for image, file, offset in zip(out, maps.tolist(), offsets.tolist(), strict=True):
            image[:] = self._maps[file][offset]
        return torch.from_numpy(out)

    def _read_ahead(self, rows: NDArray[np.int64], maps: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Load all images of the batch that are not in memory at once, rather than one by one."""
        unread = ~self._is_read[rows]
        for file, offset in zip(maps[unread].tolist(), offsets[unread].tolist(), strict=True):
            self._maps[file].read_ahead(offset)
        if self._maps[0].image_bytes < LARGE_IMAGE_BYTES:
            self._is_read[rows] = True

    def __len__(self) -> int:
        return int(self._starts[-1])


class ImagesAtRows:
    """Some images of a set, as a set of their own without a copy; `labels` and `aspects` are theirs."""

    def __init__(self, images: CachedImages, positions: Tensor) -> None:
        self._images, self._positions = images, positions
        self.labels, self.aspects = images.labels[positions], images.aspects[positions]

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) `indices`; raises as `CachedImages.gather`."""
        return self._images.gather(self._positions[indices])

    def __len__(self) -> int:
        return len(self._positions)


def _is_decoded(card: CachedCard) -> NDArray[np.bool_]:
    """(rows of the entry's table,) bool."""
    is_decoded = np.ones(card.num_images + len(card.broken_rows), dtype=bool)
    is_decoded[list(card.broken_rows)] = False
    return is_decoded
