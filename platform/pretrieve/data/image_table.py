"""The image table: one row per image, as an Arrow table that travels through Ray without copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pretrieve.data.parquet_reference import is_reference, parse_reference
from pretrieve.data.table_file import digest_of_table

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),  # position in the split: carried through every stage, and joined on
        ("path", pa.string()),  # a file, a place in one (`parquet_reference`), or a readable name of `content`
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
    sizes are, which a replaced image of the same size would escape. Images inside Parquet or Arrow files count by those
    files: all their bytes up to the limit, beyond it their sizes and both ends, where such files keep their metadata.

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
    unread = [path for path, content in zip(paths, contents, strict=True) if content is None]
    files = [Path(path) for path in unread if not is_reference(path)]
    tables = sorted({parse_reference(path).file for path in unread if is_reference(path)})
    reads_files = sum(file.stat().st_size for file in (*files, *tables)) <= HASHED_BYTES_LIMIT
    table_digests = {file: digest_of_table(file, whole=reads_files) for file in tables}
    for path, content, label in zip(paths, contents, table["label"].to_pylist(), strict=True):
        digest.update(f"{_moved_name(path, content, root)}\0{label}\0".encode())
        if content is None and is_reference(path):
            digest.update(table_digests[parse_reference(path).file])
        else:
            digest.update(_identifying_bytes(Path(path), content, reads_files))
    return digest.hexdigest()[:16]


def _moved_name(path: str, content: bytes | None, root: Path | None) -> str:
    if content is not None or root is None:
        return path
    if is_reference(path):
        reference = parse_reference(path)
        return str(replace(reference, file=reference.file.relative_to(root)))
    return Path(path).relative_to(root).as_posix()


def _identifying_bytes(path: Path, content: bytes | None, reads_files: bool) -> bytes:
    if content is None:
        if not reads_files:
            return f"{path.stat().st_size}\0".encode()
        content = path.read_bytes()
    return hashlib.sha256(content).digest()
