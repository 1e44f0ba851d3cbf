"""The images that refits are scored on: the identity and the label of each, in the order of the split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from pretrieve.artifacts.sealed_files import read_sealed_json, write_sealed_json
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError

IDENTITY_DIGITS = 32

ROWS_AT_ONCE = 256
"""Rows whose images are in memory at a time."""


@dataclass(frozen=True)
class ScoredImages:
    """The N images of a split that decode.

    Attributes:
      identities: see `image_identity`; an image that is listed twice has one identity.
      labels: in [0, K).
      class_names: K names.
    """

    identities: tuple[str, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]


def image_identity(content: bytes) -> str:
    """Name an image by its encoded bytes: the first half of their SHA-256, 32 hexadecimal digits.

    The name is the same on every machine, wherever the file lies and in whichever split it is. Equal files are one
    image.

    >>> image_identity(b"")
    'e3b0c44298fc1c149afbf4c8996fb924'
    """
    return hashlib.sha256(content).hexdigest()[:IDENTITY_DIGITS]


def identify_images(table: pa.Table, class_names: Sequence[str], broken: Sequence[str] = ()) -> ScoredImages:
    """Identify the images of an image table that decode; each is read once.

    Args:
      table: rows of `image_table.SCHEMA`.
      class_names: of its labels.
      broken: "path: reason" of each image that did not decode, as the card of a cache entry lists them.

    Raises:
      OSError: an image's file cannot be read.
    """
    found: list[tuple[str, int]] = []
    # A path may hold a colon, so each beginning of a line that may be a path is tried.
    suspects = {line[:end] for line in broken for end in range(len(line)) if line.startswith(": ", end)}
    rows = table.select(["path", "content", "label"])
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
            paths, contents, labels = (column.to_pylist() for column in batch.columns)
            identities = list(pool.map(_identity, paths, contents))
            for path, content, label, identity in zip(paths, contents, labels, identities, strict=True):
                # Two rows may have one path, and the card does not say which of them is broken.
                if identity is not None and (path not in suspects or _decodes(path, content)):
                    found.append((identity, label))
    return ScoredImages(tuple(name for name, _ in found), tuple(label for _, label in found), tuple(class_names))


def _identity(path: str, content: bytes | None) -> str | None:
    try:
        return image_identity(read_content(path, content))
    except ImageSetError:  # a row of a table that holds no image, or a file too large for the memory
        return None


def _decodes(path: str, content: bytes | None) -> bool:
    try:
        decode_square(read_content(path, content), 1)
    except ImageSetError:
        return False
    return True


def write_scored_images(path: Path, images: ScoredImages) -> None:
    """Write them into a sealed file."""
    write_sealed_json(path, asdict(images))


def read_scored_images(path: Path) -> ScoredImages:
    """Read what `write_scored_images` wrote; raises like `read_sealed`."""
    fields = read_sealed_json(path)
    return ScoredImages(**{name: tuple(values) for name, values in fields.items()})
