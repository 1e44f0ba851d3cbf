"""Decoded images on disk: one folder per entry, finished by its card, read as memory maps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretrieve.artifacts.locks import temporary_folder
from pretrieve.artifacts.seals import DamagedArtifactError, read_sealed_array
from pretrieve.artifacts.store import set_aside
from pretrieve.image_cache.card import ASPECTS, IMAGES, LABELS, Layout, joined_card, read_card, verify_entry, write_card
from pretrieve.image_cache.image_file import MappedImages
from pretrieve.image_cache.parts import write_part

PIXELS_VERSION = 2
"""Part of every entry's key. Raise it when decoding or resizing changes pixels."""

IMAGES_PER_PART = 2_000
"""Enough work for a task, but few enough that several CPUs share an entry and progress is reported often."""

LARGE_IMAGE_BYTES = 64 * 1024
"""From this size on, reading ahead costs little compared with copying, and sets may exceed memory. Smaller images are
assumed to stay in memory once read."""


@dataclass(frozen=True)
class CacheEntry:
    """Images that are cached together: a split of a target, or one group of the source.

    Attributes:
      key: hash of the images' fingerprint, the rows, the size and the layout.
      table: the rows to decode (`image_table.SCHEMA`).
      size: side of the cached squares in pixels.
      layout: `square` for evaluation; `whole` for training, whose crops come from anywhere in the image.
    """

    key: str
    table: pa.Table
    size: int
    layout: Layout = "square"

    def parts(self) -> list[EntryPart]:
        """Divide the entry into one part per task; an entry without rows has one empty part."""
        return [
            EntryPart(self.key, start, self.table.slice(start, IMAGES_PER_PART), self.size, self.layout)
            for start in range(0, max(1, self.table.num_rows), IMAGES_PER_PART)
        ]


@dataclass(frozen=True)
class EntryPart:
    """Adjacent rows of an entry without the rest of it, because parts are sent to other processes.

    Attributes:
      key: the entry's.
      start: the entry's row that is the first of the part.
      table: the part's rows.
      size: see `CacheEntry`.
      layout: see `CacheEntry`.
    """

    key: str
    start: int
    table: pa.Table
    size: int
    layout: Layout

    @property
    def name(self) -> str:
        """Folder of the part inside the entry's; it names the rows, so that other divisions have other folders."""
        return f"rows-{self.start:08d}-{self.start + self.table.num_rows:08d}"

    def write(self, cache: Path) -> None:
        """Decode the part into the cache, replacing a damaged one; an undamaged one stays.

        Raises:
          OSError: an image's file cannot be read, or the disk is full or not writable.
        """
        folder = cache / self.key / self.name
        if _is_whole(folder):
            return
        if folder.exists():  # moved away as a whole before it is deleted, so that it never stands there incomplete
            with temporary_folder(cache, folder.name) as temporary, suppress(FileNotFoundError):
                folder.rename(temporary / folder.name)  # unless another process was faster
        write_part(self.table, layout=self.layout, size=self.size, folder=folder)


def is_finished(entry: CacheEntry, cache: Path) -> bool:
    """Return whether an entry is in the cache and its files are what was written."""
    return _is_whole(cache / entry.key)


def _is_whole(folder: Path) -> bool:
    try:
        verify_entry(folder)
    except FileNotFoundError:
        return False
    except DamagedArtifactError as error:
        set_aside(error)
        return False
    return True


def finish_entry(entry: CacheEntry, cache: Path) -> None:
    """Finish an entry whose parts are all in the cache, by writing its card.

    Raises:
      OSError: a part is absent, or the disk is full or not writable.
    """
    folder = cache / entry.key
    write_card(folder, joined_card({part.name: read_card(folder / part.name) for part in entry.parts()}))


def write_entry(entry: CacheEntry, folder: Path) -> None:
    """Decode an entry's images into `folder`, in this process; an existing entry stays.

    Raises:
      OSError: an image's file cannot be read, or the disk is full or not writable.
    """
    entry, cache = replace(entry, key=folder.name), folder.parent
    if is_finished(entry, cache):
        return
    for part in entry.parts():
        part.write(cache)
    finish_entry(entry, cache)


class CachedImages:
    """Images of several entries as one set, on memory maps.

    All processes of a node that open an entry share one copy of its pixels, the system's page cache. Pages that do not
    fit into memory are read again, so a set may be larger than memory.

    Args:
      folders: finished entries of one size, in the order of their rows.

    Raises:
      FileNotFoundError: an entry is not there.
      DamagedArtifactError: a file of an entry does not hold what was written.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        parts = [folder / part for folder in folders for part in verify_entry(folder).parts]
        self._maps = [MappedImages(part / IMAGES) for part in parts]
        self._starts = np.cumsum([0, *(len(images) for images in self._maps)])
        self._is_read = np.zeros(self._starts[-1], dtype=bool)
        self._labels = torch.from_numpy(np.concatenate([read_sealed_array(part / LABELS) for part in parts]))
        self._aspects = torch.from_numpy(np.concatenate([read_sealed_array(part / ASPECTS) for part in parts]))

    @property
    def labels(self) -> Tensor:
        return self._labels

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, > 0: width / height of the picture that fills each square; 1 in the layout `square`."""
        return self._aspects

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) `indices`.

        Raises:
          IndexError: an index is not in [0, N).
          DamagedArtifactError: an image is not what was written.
        """
        rows = indices.numpy()
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must lie in 0 … {len(self) - 1}, but {rows.min()} … {rows.max()} are asked for")
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
