"""The image table: one row per image, as an Arrow table that Ray passes on without copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pretrieve.data.table_file import digest_of_table, is_reference, parse_reference

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),  # position in the split: carried through every stage, and joined on
        ("path", pa.string()),  # a file, a place in one (`table_file`), or a readable name of `content`
        ("content", pa.binary()),  # encoded image bytes, or null: then `path` is read
        ("label", pa.int64()),
    ]
)

HASHED_BYTES_LIMIT = 2 * 1024**3
"""Splits of up to this many bytes are hashed by content; larger ones by path and size."""


def table_of_files(paths: Sequence[Path], labels: Sequence[int]) -> pa.Table:
    """Make an image table of N image files; its rows have indices 0 … N − 1 and labels in [0, K)."""
    return table_of_contents([str(path) for path in paths], [None] * len(paths), labels)


def table_of_contents(names: Sequence[str], contents: Sequence[bytes | None], labels: Sequence[int]) -> pa.Table:
    """Make an image table that holds N encoded images (PNG, JPEG, …) itself.

    Its rows have readable names, indices 0 … N − 1 and labels in [0, K).
    """
    return pa.table([range(len(names)), names, contents, labels], schema=SCHEMA)


def concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """Join image tables into one whose indices count from 0 again."""
    joined = pa.concat_tables(tables)
    return joined.set_column(0, SCHEMA.field("index"), pa.array(range(joined.num_rows), pa.int64()))


def table_fingerprint(table: pa.Table, root: Path | None = None) -> str:
    """Identify the images and labels of a table by 16 hexadecimal digits, wherever its folder lies.

    File paths are taken relative to `root`, so that a moved data set keeps its identity. Up to HASHED_BYTES_LIMIT every
    image's bytes are hashed. Beyond it (ImageNet on a network disk) relative paths and sizes are, which misses an image
    replaced by one of the same size. Images inside Parquet or Arrow files count by those files: all their bytes up to
    the limit, beyond it their sizes and both ends, where such files keep their metadata. A file that is gone is an
    OSError.
    """
    digest = hashlib.sha256()
    paths, contents = table["path"].to_pylist(), table["content"].to_pylist()
    unread = [path for path, content in zip(paths, contents, strict=True) if content is None]
    files = [Path(path) for path in unread if not is_reference(path)]
    tables = sorted({parse_reference(path).file for path in unread if is_reference(path)})
    reads_files = sum(file.stat().st_size for file in (*files, *tables)) <= HASHED_BYTES_LIMIT
    table_digests = {file: digest_of_table(file, whole=reads_files) for file in tables}
    for path, content, label in zip(paths, contents, table["label"].to_pylist(), strict=True):
        digest.update(f"{_moved_name(path, content, root)}\0{label}\0".encode())
        if content is None and is_reference(path):
            digest.update(table_digests[parse_reference(path).file])
        elif content is None and not reads_files:
            digest.update(f"{Path(path).stat().st_size}\0".encode())
        else:
            digest.update(hashlib.sha256(Path(path).read_bytes() if content is None else content).digest())
    return digest.hexdigest()[:16]


def _moved_name(path: str, content: bytes | None, root: Path | None) -> str:
    if content is not None or root is None:
        return path
    if is_reference(path):
        reference = parse_reference(path)
        return str(replace(reference, file=reference.file.relative_to(root)))
    return Path(path).relative_to(root).as_posix()
