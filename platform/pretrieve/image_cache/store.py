"""Decoded images on disk: one folder an entry, whole or absent, opened as memory maps."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretrieve.atomic_files import read_json, write_json
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError

CARD = "card.json"

PIXELS_VERSION = 1
"""Part of every entry's key; raise it when decoding or resizing gives other pixels."""


@dataclass(frozen=True)
class CacheEntry:
    """Images that are cached together: a split of a target, or one group of the source.

    Attributes:
      key: hash of the images' fingerprint, the rows and the size.
      table: the rows to decode (`image_table.SCHEMA`).
      size: side of the cached squares in pixels.
    """

    key: str
    table: pa.Table
    size: int


@dataclass(frozen=True)
class CachedCard:
    """What a finished entry holds.

    Attributes:
      num_images: images that decoded.
      broken: "path: reason" for each image that did not.
    """

    num_images: int
    broken: tuple[str, ...]


def read_card(folder: Path) -> CachedCard | None:
    """Read the card of an entry's folder; None where the entry is not finished."""
    if not (folder / CARD).exists():
        return None
    fields = read_json(folder / CARD)
    return CachedCard(num_images=fields["num_images"], broken=tuple(fields["broken"]))


def write_entry(entry: CacheEntry, folder: Path) -> None:
    """Decode an entry's images into `folder`; a broken image is left out and named on the card.

    A file that cannot be read at all ends the entry: it may be there tomorrow, or on another node.

    The folder is made under another name and renamed, so it is whole or absent; of two processes that make the same
    entry, the first one's stays.

    Raises:
      OSError: an image's file cannot be read, or the disk is full or not writable.
    """
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        images, labels, broken = _decode(entry)
        np.save(temporary / "images.npy", images)
        np.save(temporary / "labels.npy", labels)
        write_json(temporary / CARD, {"num_images": len(images), "broken": broken})
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode(entry: CacheEntry) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    images = np.empty((entry.table.num_rows, entry.size, entry.size, 3), dtype=np.uint8)
    labels: list[int] = []
    broken: list[str] = []
    for row in entry.table.select(["path", "content", "label"]).to_pylist():
        try:
            images[len(labels)] = decode_square(read_content(row["path"], row["content"]), entry.size)
        except ImageSetError as error:
            broken.append(f"{row['path']}: {error}")
            continue
        labels.append(row["label"])
    return images[: len(labels)], np.array(labels, dtype=np.int64), broken


class CachedImages:
    """Images of several entries as one set, read from memory maps.

    Args:
      folders: finished entries, in the order of their rows.

    Raises:
      FileNotFoundError: an entry is not there.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._maps = [np.load(folder / "images.npy", mmap_mode="r") for folder in folders]
        self._starts = np.cumsum([0, *(len(images) for images in self._maps)])
        labels = [np.load(folder / "labels.npy") for folder in folders]
        self._labels = torch.from_numpy(np.concatenate(labels))

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._labels

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) `indices`."""
        rows = indices.numpy()
        files = np.searchsorted(self._starts, rows, side="right") - 1
        out = np.empty((len(rows), *self._maps[0].shape[1:]), dtype=np.uint8)
        for file in np.unique(files):
            wanted = files == file
            out[wanted] = self._maps[file][rows[wanted] - self._starts[file]]
        return torch.from_numpy(out)

    def __len__(self) -> int:
        return int(self._starts[-1])
