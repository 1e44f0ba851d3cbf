"""Entries of the image cache: images are decoded into one folder per entry, which its card finishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from pretrieve.artifacts.locks import temporary_folder
from pretrieve.artifacts.sealed_files import seal, set_aside
from pretrieve.data.decode import decode_square, decode_whole, read_content
from pretrieve.errors import DamagedArtifactError, ImageSetError
from pretrieve.image_cache.card import (
    ASPECTS,
    IMAGES,
    LABELS,
    CachedCard,
    Layout,
    read_card,
    verify_entry,
    write_card,
)

PIXELS_VERSION = 2
"""Part of every entry's key. Raise it when decoding or resizing changes pixels."""

IMAGES_PER_PART = 2_000
"""Enough work for a task, but few enough that several CPUs share an entry and progress is reported often."""

ROWS_AT_ONCE = 32
"""Rows of encoded images that are copied from the table together."""


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
        if is_finished(folder):
            return
        if folder.exists():  # moved away as a whole before it is deleted, so that it never stands there incomplete
            with temporary_folder(cache, folder.name) as temporary, suppress(FileNotFoundError):
                folder.rename(temporary / folder.name)  # unless another process was faster
        # The part is made under another name and renamed; of two processes that make it, the first one's part stays.
        with temporary_folder(cache, f"{self.key}.{self.name}") as temporary:
            broken = _decode_into(temporary, self.table, self.layout, self.size)
            for name in (IMAGES, LABELS, ASPECTS):
                seal(temporary / name)
            write_card(
                temporary,
                CachedCard(
                    num_images=self.table.num_rows - len(broken),
                    layout=self.layout,
                    size=self.size,
                    broken=tuple(broken.values()),
                    broken_rows=tuple(broken),
                ),
            )
            folder.parent.mkdir(exist_ok=True)
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.exists():
                    raise


def is_finished(folder: Path) -> bool:
    """Return whether an entry, or a part of one, is in the cache and its files are what was written."""
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
    cards = [(part, read_card(folder / part.name)) for part in entry.parts()]
    card = CachedCard(
        num_images=sum(card.num_images for _, card in cards),
        layout=entry.layout,
        size=entry.size,
        broken=tuple(reason for _, card in cards for reason in card.broken),
        parts=tuple(part.name for part, _ in cards),
        broken_rows=tuple(part.start + row for part, card in cards for row in card.broken_rows),
    )
    write_card(folder, card)


def write_entry(entry: CacheEntry, folder: Path) -> None:
    """Decode an entry's images into `folder`, in this process; an existing entry stays.

    Raises OSError if an image's file cannot be read, or the disk is full or not writable.
    """
    if is_finished(folder):
        return
    entry, cache = replace(entry, key=folder.name), folder.parent
    for part in entry.parts():
        part.write(cache)
    finish_entry(entry, cache)


def _decode_into(folder: Path, table: pa.Table, layout: Layout, size: int) -> dict[int, str]:
    """Decode the images of a table; return "path: reason" of those that do not decode, by their rows."""
    labels: list[int] = []
    aspects: list[float] = []
    broken: dict[int, str] = {}

    def decoded() -> Iterator[NDArray[np.uint8]]:
        batches = table.select(["path", "content", "label"]).to_batches(max_chunksize=ROWS_AT_ONCE)
        for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            try:
                content = read_content(row["path"], row["content"])
                pixels, aspect = decode_whole(content, size) if layout == "whole" else (decode_square(content, size), 1)
            except ImageSetError as error:
                broken[number] = f"{row['path']}: {error}"
                continue
            labels.append(row["label"])
            aspects.append(aspect)
            yield pixels

    write_images(folder / IMAGES, decoded(), (size, size, 3))
    np.save(folder / LABELS, np.array(labels, dtype=np.int64))
    np.save(folder / ASPECTS, np.array(aspects, dtype=np.float32))
    return broken


def write_images(path: Path, images: Iterable[NDArray[np.uint8]], image_shape: tuple[int, ...]) -> None:
    """Write uint8 images of `image_shape` to a new .npy file, with one image in memory at a time.

    The file is written, not mapped: on a full disk a write raises an OSError, while a mapped page would end the
    process.
    """
    header = {"descr": "|u1", "fortran_order": False}
    num_images = 0
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {**header, "shape": (0, *image_shape)})
        for image in images:
            file.write(image.tobytes())
            num_images += 1
        # NumPy pads the header so that the first axis can grow; the header with the final count has the same length.
        file.seek(0)
        npy.write_array_header_1_0(file, {**header, "shape": (num_images, *image_shape)})
