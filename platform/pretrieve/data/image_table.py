"""The image table: one row per image, as an Arrow table that Ray passes on without copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.data.split_words import SPLITS
from pretrieve.data.table_file import digest_of_table, is_reference, parse_reference

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),  # position in the split: carried through every stage, and joined on
        ("path", pa.string()),  # a file, a place in one (`table_file`), or a readable name of `content`
        ("content", pa.binary()),  # encoded image bytes, or null: then `path` is read
        ("label", pa.int64()),
    ]
)

GROUPED_SCHEMA = SCHEMA.append(pa.field("group", pa.string()))
"""Of a table whose images come in groups, such as those of one patient: splits and folds keep a group on one side."""

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


def labels_of(table: pa.Table) -> NDArray[np.int64]:
    """Return the (N,) int64 labels of an image table."""
    labels: NDArray[np.int64] = table["label"].to_numpy()
    return labels


def groups_of(table: pa.Table) -> NDArray[np.str_] | None:
    """Return the (N,) names of the groups that the images of a table come in; None where it has no such column."""
    return np.array(table["group"].to_pylist(), dtype=np.str_) if "group" in table.column_names else None


def pool_splits(splits: Mapping[str, pa.Table]) -> pa.Table:
    """Join the splits of a set into one table, its pool: train, then val, then test, as far as there are.

    Repeats and folds are rows of this table. Images in memory are shared with the splits, not copied.
    """
    return concatenate([splits[split] for split in SPLITS if split in splits])


def rows_of_splits(splits: Mapping[str, pa.Table]) -> dict[str, NDArray[np.int64]]:
    """Return for each split its rows in the pool (`pool_splits`), (N,) int64."""
    rows, start = {}, 0
    for split in (split for split in SPLITS if split in splits):
        rows[split] = np.arange(start, start + splits[split].num_rows)
        start += splits[split].num_rows
    return rows


def take_rows(splits: Mapping[str, pa.Table], rows: NDArray[np.int64]) -> pa.Table:
    """Return the image table of (N,) rows of the pool, N ≥ 1, in the pool's order, with indices from 0.

    It is made split by split, so that a whole split is not copied.
    """
    parts = []
    for split, rows_of_split in rows_of_splits(splits).items():
        is_taken = np.isin(rows_of_split, rows)
        if is_taken.any():
            parts.append(splits[split] if is_taken.all() else splits[split].filter(pa.array(is_taken)))
    return concatenate(parts)


def table_fingerprint(table: pa.Table, root: Path | None = None) -> str:
    """Identify the images and labels of a table by 16 hexadecimal digits, wherever its folder lies.

    File paths are taken relative to `root`, so that a moved data set keeps its identity. Up to HASHED_BYTES_LIMIT every
    image's bytes are hashed. Beyond it (ImageNet on a network disk) relative paths and sizes are, which misses an image
    replaced by one of the same size. Images inside Parquet or Arrow files count by those files: all their bytes up to
    the limit, beyond it their sizes and both ends, where such files keep their metadata. Groups count where there are
    any. A file that is gone is an OSError.
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
    if "group" in table.column_names:
        digest.update(json.dumps(table["group"].to_pylist()).encode())
    return digest.hexdigest()[:16]


def _moved_name(path: str, content: bytes | None, root: Path | None) -> str:
    if content is not None or root is None:
        return path
    if is_reference(path):
        reference = parse_reference(path)
        return str(replace(reference, file=reference.file.relative_to(root)))
    return Path(path).relative_to(root).as_posix()
