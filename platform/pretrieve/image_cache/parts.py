"""Parts of a cached entry: the rows that one task decodes, in a folder that is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pretrieve.artifacts.locks import temporary_folder
from pretrieve.artifacts.seals import seal
from pretrieve.data.decode import decode_square, decode_whole, read_content
from pretrieve.errors import ImageSetError
from pretrieve.image_cache.card import ASPECTS, IMAGES, LABELS, CachedCard, Layout, write_card
from pretrieve.image_cache.image_file import ImageFileWriter

ROWS_AT_ONCE = 32
"""Rows of encoded images that are copied out of the table together."""


def write_part(table: pa.Table, *, layout: Layout, size: int, folder: Path) -> None:
    """Decode images into a part's folder; a broken image is left out and named on the part's card.

    A file that cannot be read at all ends the part: it may be there tomorrow, or on another node. The folder is made
    under another name beside its entry and renamed; of two processes that make the same part, the first one's stays.

    Args:
      table: the rows to decode (`image_table.SCHEMA`).
      layout: how the images fill their squares.
      size: side of the squares in pixels.
      folder: the part's, inside its entry's, inside the cache.

    Raises:
      OSError: an image's file cannot be read, or the disk is full or not writable.
    """
    entry = folder.parent
    with temporary_folder(entry.parent, f"{entry.name}.{folder.name}") as temporary:
        broken = _decode_into(temporary, table, layout, size)
        for name in (IMAGES, LABELS, ASPECTS):
            seal(temporary / name)
        num_images = table.num_rows - len(broken)
        write_card(temporary, CachedCard(num_images, layout, size, tuple(broken)))
        entry.mkdir(exist_ok=True)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise


def _decode_into(folder: Path, table: pa.Table, layout: Layout, size: int) -> list[str]:
    labels: list[int] = []
    aspects: list[float] = []
    broken: list[str] = []
    with ImageFileWriter(folder / IMAGES, (size, size, 3)) as images:
        for row in _rows(table):
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


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.select(["path", "content", "label"]).to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()
