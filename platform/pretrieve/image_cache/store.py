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
from pretrieve.artifacts.sealed_files import DamagedArtifactError, read_sealed_array, seal, set_aside
from pretrieve.data.decode import decode_square, decode_whole, read_content
from pretrieve.errors import ImageSetError
from pretrieve.image_cache.card import (
    ASPECTS,
    IMAGES,
    LABELS,
    CachedCard,
    Layout,
    joined_card,
    read_card,
    verify_entry,
    write_card,
)
from pretrieve.image_cache.image_file import ImageFileWriter, MappedImages

PIXELS_VERSION = 2
"""Part of every entry's key. Raise it when decoding or resizing changes pixels."""

IMAGES_PER_PART = 2_000
"""Enough work for a task, but few enough that several CPUs share an entry and progress is reported often."""

ROWS_AT_ONCE = 32
"""Rows of encoded images that are copied from the table together."""

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
    """Adjacent rows of an entry, from its row `start`, without the other rows: parts are sent to other processes."""

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

        A broken image is left out and named on the part's card. A file that cannot be read at all is an error, because
        it may be readable later, or on another node. Raises OSError if an image's file cannot be read, or the disk is
        full or not writable.
        """
        folder = cache / self.key / self.name
        if _is_whole(folder):
            return
        if folder.exists():  # moved away as a whole before it is deleted, so that it never stands there incomplete
            with temporary_folder(cache, folder.name) as temporary, suppress(FileNotFoundError):
                folder.rename(temporary / folder.name)  # unless another process was faster
        # The part is made under another name and renamed; of two processes that make it, the first one's part stays.
        with temporary_folder(cache, f"{self.key}.{self.name}") as temporary:
            broken = _decode_into(temporary, self.table, self.layout, self.size)
            for name in (IMAGES, LABELS, ASPECTS):
                seal(temporary / name)
            write_card(temporary, CachedCard(self.table.num_rows - len(broken), self.layout, self.size, tuple(broken)))
            folder.parent.mkdir(exist_ok=True)
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.exists():
                    raise


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

    Raises OSError if a part is absent, or the disk is full or not writable.
    """
    folder = cache / entry.key
    write_card(folder, joined_card({part.name: read_card(folder / part.name) for part in entry.parts()}))


def write_entry(entry: CacheEntry, folder: Path) -> None:
    """Decode an entry's images into `folder`, in this process; an existing entry stays.

    Raises OSError if an image's file cannot be read, or the disk is full or not writable.
    """
    entry, cache = replace(entry, key=folder.name), folder.parent
    if is_finished(entry, cache):
        return
    for part in entry.parts():
        part.write(cache)
    finish_entry(entry, cache)


def _decode_into(folder: Path, table: pa.Table, layout: Layout, size: int) -> list[str]:
    labels: list[int] = []
    aspects: list[float] = []
    broken: list[str] = []
    with ImageFileWriter(folder / IMAGES, (size, size, 3)) as images:
        batches = table.select(["path", "content", "label"]).to_batches(max_chunksize=ROWS_AT_ONCE)
        for row in (row for batch in batches for row in batch.to_pylist()):
            try:
                content = read_content(row["path"], row["content"])
                pixels, aspect = decode_whole(content, size) if layout == "whole" else (decode_square(content, size), 1)
            except ImageSetError as error:
                broken.append(f"{row['path']}: {error}")
                continue
            images.append(pixels)
            labels.append(row["label"])
            aspects.append(aspect)
    np.save(folder / LABELS, np.array(labels, dtype=np.int64))
    np.save(folder / ASPECTS, np.array(aspects, dtype=np.float32))
    return broken


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
