"""Features on disk, under a key: Parquet shards of an image table's rows, each whole or absent, and all in one matrix.

The matrix is memory-mapped where single images are compared.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import (
    is_kept,
    read_sealed,
    read_sealed_array,
    read_sealed_arrays,
    sealing,
    write_sealed_arrays,
)
from pretrieve.errors import ImageSetError

ROWS_PER_SHARD = 512
"""512 decoded images of 256 × 256 are 101 MB, a block that fits Ray's object store many times."""

FEATURES_VERSION = 2
"""Raise it when decoding or the forward pass changes the features."""


@dataclass(frozen=True)
class FeatureRequest:
    """Features that a study needs: of one image table (`image_table.SCHEMA`), by one backbone.

    `key` is a hash of the backbone's identity and the table's fingerprint.
    """

    key: str
    table: pa.Table

    @property
    def num_shards(self) -> int:
        """Number of files that hold the features."""
        num_rows: int = self.table.num_rows
        return math.ceil(num_rows / ROWS_PER_SHARD)

    def shard_path(self, folder: Path, shard: int) -> Path:
        """Return the file of one shard in the feature cache `folder`."""
        return folder / self.key / f"shard-{shard:05d}-of-{self.num_shards:05d}.parquet"

    def shard_rows(self, shard: int) -> pa.Table:
        """Return the rows of the image table in one shard."""
        return self.table.slice(shard * ROWS_PER_SHARD, ROWS_PER_SHARD)

    def num_missing_rows(self, folder: Path) -> int:
        """Count the images in missing shards."""
        return sum(self.shard_rows(shard).num_rows for shard in self.missing_shards(folder))

    def missing_shards(self, folder: Path) -> list[int]:
        """List the shards that are missing or damaged in the feature cache."""
        return [s for s in range(self.num_shards) if not is_kept(self.shard_path(folder, s))]

    def blocks(self, folder: Path) -> Iterator[FeatureBlock]:
        """Read the features shard by shard, so that a large source is never in memory as a whole.

        Raises what `read_sealed` raises.
        """
        for shard in range(self.num_shards):
            yield _read_shard(self.shard_path(folder, shard))

    def drawn(self, rows: NDArray[np.int64], key: str) -> DrawnFeatures:
        """Describe the features of (M,) ascending rows of the table, which are extracted with the others."""
        return DrawnFeatures(key, self.table.take(rows), self, rows)


@dataclass(frozen=True)
class DrawnFeatures:
    """The features of some rows of a table, read from those of the whole table.

    Attributes:
      key: under which what is made of them is kept, such as their matrix.
      table: these rows.
      whole: the request that is extracted.
      rows: (M,) int64, ascending, the rows in the whole table.
    """

    key: str
    table: pa.Table
    whole: FeatureRequest
    rows: NDArray[np.int64]

    def blocks(self, folder: Path) -> Iterator[FeatureBlock]:
        """Read the features shard by shard; rows count in the table of these rows alone."""
        paths = set(self.table["path"].to_pylist())
        for block in self.whole.blocks(folder):
            kept = np.isin(block.rows, self.rows)
            yield FeatureBlock(
                features=block.features[kept],
                rows=np.searchsorted(self.rows, block.rows[kept]),
                labels=block.labels[kept],
                broken=tuple(each for each in block.broken if path_of(each, paths) is not None),
            )


def path_of(broken: str, paths: Collection[str]) -> str | None:
    """Return the path that "path: reason" begins with; a path may hold a colon and a space itself."""
    return next((broken[: each.start()] for each in re.finditer(": ", broken) if broken[: each.start()] in paths), None)


@dataclass(frozen=True)
class FeatureBlock:
    """Features of one shard: (n, D) float32 of the images that decoded, their table rows and labels, (n,) int64 each.

    `broken` names the images that did not decode, as "path: reason".
    """

    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    broken: tuple[str, ...]


def feature_key(backbone_identity: str, table_fingerprint: str) -> str:
    """Return the features' key, which depends on the backbone, its preprocessing included, and the images."""
    return content_key(kind="features", version=FEATURES_VERSION, backbone=backbone_identity, images=table_fingerprint)


def write_shard(table: pa.Table, path: Path) -> None:
    """Write one sealed shard.

    Columns: index, path, label, feature (fixed-size list of float32, NaN if broken) and error.
    """
    with sealing(path) as temporary:
        pq.write_table(table, temporary, use_dictionary=False)  # all features differ: it would only cost time


def read_labelled_features(
    folders: Sequence[Path], rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read those of some image tables, in their order, without broken images: features (N, D), and labels (N,).

    Each folder is that of a key in the feature cache. `rows` are (M,) rows of the tables joined, in the order in which
    they are wanted; None for all. Raises FileNotFoundError if a shard is missing, IndexError if a row is not one of the
    tables', and what `read_sealed` raises.
    """
    blocks = [_read_shard(path) for folder in folders for path in _shards_of(folder)]
    features = np.concatenate([block.features for block in blocks])
    labels = np.concatenate([block.labels for block in blocks])
    if rows is None:
        return features, labels
    starts = np.cumsum([0, *(len(block.rows) + len(block.broken) for block in blocks)])
    # A shard's rows count from the start of its own table.
    decoded = [start + block.rows % ROWS_PER_SHARD for start, block in zip(starts[:-1], blocks, strict=True)]
    position = np.full(starts[-1], -1)
    position[np.concatenate(decoded)] = np.arange(len(labels))
    found = position[rows]
    return features[found[found >= 0]], labels[found[found >= 0]]


def draw_labelled_features(
    folder: Path, *, max_per_class: int, left_out: Collection[int] = ()
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read some features of each class, drawn at random and always the same, with one shard in memory at a time.

    Rows of the image table that are `left_out` are not drawn. Shapes and errors are those of `read_labelled_features`.
    """
    paths, rng = _shards_of(folder), np.random.default_rng(0)
    drawn: tuple[NDArray[Any], ...] | None = None
    for path in paths:
        block = _read_shard(path)
        kept = ~np.isin(block.rows, list(left_out))
        # A number for each row of the shard, whichever of them decode: what decodes does not change what is drawn.
        numbers = rng.random(ROWS_PER_SHARD)[block.rows % ROWS_PER_SHARD]
        found = [column[kept] for column in (block.features, block.labels, numbers)]
        drawn = tuple(map(np.concatenate, zip(drawn, found, strict=True))) if drawn else tuple(found)
        order = np.lexsort((drawn[2], drawn[1]))
        _, starts, counts = np.unique(drawn[1][order], return_index=True, return_counts=True)
        rank = np.arange(len(order)) - np.repeat(starts, counts)
        drawn = tuple(column[order[rank < max_per_class]] for column in drawn)
    assert drawn is not None, "an image table has rows"
    return drawn[0], drawn[1]


def _shards_of(folder: Path) -> list[Path]:
    """List the shards of a key in their order; FileNotFoundError if one is missing."""
    paths = sorted(folder.glob("shard-*-of-*.parquet"))
    expected = int(paths[0].stem.rsplit("-", 1)[1]) if paths else 1
    if len(paths) != expected:
        raise FileNotFoundError(f"the features in {folder} must have {expected} shards, but {len(paths)} are there")
    return paths


def _read_shard(path: Path) -> FeatureBlock:
    table = pq.read_table(pa.BufferReader(read_sealed(path)))
    good = table.filter(table["error"].is_null())
    vectors = good["feature"].combine_chunks()
    bad = table.filter(table["error"].is_valid()).select(["path", "error"]).to_pylist()
    return FeatureBlock(
        features=vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.type.list_size),
        rows=good["index"].to_numpy(),
        labels=good["label"].to_numpy(),
        broken=tuple(f"{row['path']}: {row['error']}" for row in bad),
    )


def feature_array(features: NDArray[np.float32], errors: Sequence[str | None]) -> pa.Array:
    """Pack (n, D) features as fixed-size lists, all NaN where there was an error.

    Not null: pyarrow can write a null fixed-size list to a Parquet file, but cannot read it again. Not zero: code that
    overlooks the error cannot mistake NaN for a feature.
    """
    failed = np.array([error is not None for error in errors], dtype=bool)
    values = np.where(failed[:, None], np.float32(np.nan), features)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), features.shape[1])


@dataclass(frozen=True)
class FeatureMatrix:
    """The (N, D) float32 features of a table's images that decode, and their (N,) int64 rows there, ascending.

    The features are read-only and memory-mapped: only the parts that a process reads take memory. `broken` names the
    images that are left out, as "path: reason".
    """

    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    broken: tuple[str, ...]


def matrix_path(folder: Path, key: str) -> Path:
    """Return the file of the matrix in the feature cache `folder`."""
    return folder / key / "matrix.npy"


def make_feature_matrix(request: FeatureRequest | DrawnFeatures, folder: Path) -> FeatureMatrix:
    """Write the matrix from its shards, with one shard in memory at a time, unless it is written already.

    Raises FileNotFoundError if a shard is missing, ImageSetError if no image of the table decodes.
    """
    path = matrix_path(folder, request.key)
    if is_kept(path) and is_kept(_rows_path(path)):
        return read_feature_matrix(folder, request.key)
    rows: list[NDArray[np.int64]] = []
    broken: list[str] = []
    for block in request.blocks(folder):
        rows.append(block.rows)
        broken += block.broken
    decoded = np.concatenate(rows)
    if not len(decoded):
        raise ImageSetError(f"an image set must have an image that decodes, but none does: {broken[0]}")
    write_sealed_arrays(_rows_path(path), rows=decoded, broken=np.array(json.dumps(broken)))
    with sealing(path) as temporary:
        start = 0
        for block in request.blocks(folder):
            if start == 0:
                shape = (len(decoded), block.features.shape[1])
                matrix = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            matrix[start : start + len(block.rows)] = block.features
            start += len(block.rows)
        matrix.flush()
    return read_feature_matrix(folder, request.key)


def read_feature_matrix(folder: Path, key: str) -> FeatureMatrix:
    """Map a matrix that `make_feature_matrix` wrote; raises what `read_sealed_array` raises."""
    path = matrix_path(folder, key)
    other = read_sealed_arrays(_rows_path(path))
    return FeatureMatrix(read_sealed_array(path), other["rows"], tuple(json.loads(str(other["broken"]))))


def _rows_path(path: Path) -> Path:
    return path.with_suffix(".rows.npz")
