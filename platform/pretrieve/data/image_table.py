"""The image table: one row per image, as an Arrow table that travels through Ray without copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),  # position in the split: carried through every stage, and joined on
        ("path", pa.string()),  # a file, or a readable name where `content` holds the bytes
        ("content", pa.binary()),  # encoded image bytes, or null: then `path` is read
        ("label", pa.int64()),
    ]
)

HASHED_BYTES_LIMIT = 2 * 1024**3
"""Files of a split are hashed by content up to this many bytes in all; larger splits by path and size."""


def table_of_files(paths: Sequence[Path], labels: Sequence[int]) -> pa.Table:
    """Make an image table whose images stay in their files.

    Args:
      paths: N image files.
      labels: N integers in [0, K).

    Returns:
      (N rows) `SCHEMA`, indices 0 … N − 1 in the order given.
    """
    columns = [range(len(paths)), [str(path) for path in paths], [None] * len(paths), labels]
    return _table(columns)


def table_of_contents(names: Sequence[str], contents: Sequence[bytes], labels: Sequence[int]) -> pa.Table:
    """Make an image table that holds the encoded images themselves.

    Args:
      names: N readable names, used in messages.
      contents: N encoded images (PNG, JPEG, …).
      labels: N integers in [0, K).

    Returns:
      (N rows) `SCHEMA`, indices 0 … N − 1 in the order given.
    """
    return _table([range(len(names)), names, contents, labels])


def _table(columns: Sequence[Sequence[object]]) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """Join image tables into one whose indices count from 0 again."""
    joined = pa.concat_tables(tables)
    return joined.set_column(0, SCHEMA.field("index"), pa.array(range(joined.num_rows), pa.int64()))


def table_fingerprint(table: pa.Table, root: Path | None = None) -> str:
    """Identify the images and labels of a table, wherever its folder lies.

    Up to HASHED_BYTES_LIMIT every image's bytes are hashed; beyond (ImageNet on a network disk) relative paths and
    sizes are, which a replaced image of the same size would escape.

    Args:
      table: an image table.
      root: the folder that file paths are taken relative to, so that a moved data set keeps its identity.

    Returns:
      16 hexadecimal digits.

    Raises:
      OSError: a file of the table is gone.
    """
    digest = hashlib.sha256()
    paths = table["path"].to_pylist()
    contents = table["content"].to_pylist()
    files = [Path(path) for path, content in zip(paths, contents, strict=True) if content is None]
    reads_files = sum(file.stat().st_size for file in files) <= HASHED_BYTES_LIMIT
    for path, content, label in zip(paths, contents, table["label"].to_pylist(), strict=True):
        name = path if content is not None or root is None else Path(path).relative_to(root).as_posix()
        digest.update(f"{name}\0{label}\0".encode())
        digest.update(_identifying_bytes(Path(path), content, reads_files))
    return digest.hexdigest()[:16]


def _identifying_bytes(path: Path, content: bytes | None, reads_files: bool) -> bytes:
    if content is None:
        if not reads_files:
            return f"{path.stat().st_size}\0".encode()
        content = path.read_bytes()
    return hashlib.sha256(content).digest()
