"""Parts of a cached entry: the rows that one task decodes, in a folder that is whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pretrieve.artifacts.locks import temporary_folder
from pretrieve.artifacts.seals import seal
from pretrieve.data.decode import decode_square, decode_whole, read_content
from pretrieve.errors import ImageSetError
from pretrieve.image_cache.card import ASPECTS, IMAGES, LABELS, CachedCard, Layout, write_card
from pretrieve.image_cache.image_file import ImageFileWriter

ROWS_AT_ONCE = 32
"""Rows of encoded images that are copied from the table together."""


def write_part(table: pa.Table, *, layout: Layout, size: int, folder: Path) -> None:
    """Decode images into a part's folder; a broken image is left out and named on the part's card.

    A file that cannot be read at all is an error, because it may be readable later, or on another node. The folder is
    created under another name beside its entry and then renamed. If two processes create the same part, the first one's
    stays.

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
        write_card(temporary, CachedCard(table.num_rows - len(broken), layout, size, tuple(broken)))
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
