"""Features of one image table as a matrix in a file, memory-mapped where single images are compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.seals import read_sealed_array, read_sealed_arrays, sealing, write_sealed_arrays
from pretrieve.artifacts.store import is_kept
from pretrieve.errors import ImageSetError
from pretrieve.features.shards import FeatureRequest, read_features


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


def make_feature_matrix(request: FeatureRequest, folder: Path) -> FeatureMatrix:
    """Write the matrix from its shards, with one shard in memory at a time, unless it is written already.

    Raises FileNotFoundError if a shard is missing, ImageSetError if no image of the table decodes.
    """
    path = matrix_path(folder, request.key)
    if is_kept(path) and is_kept(_rows_path(path)):
        return read_feature_matrix(folder, request.key)
    rows: list[NDArray[np.int64]] = []
    broken: list[str] = []
    for block in read_features(request, folder):
        rows.append(block.rows)
        broken += block.broken
    decoded = np.concatenate(rows)
    if not len(decoded):
        raise ImageSetError(f"an image set must have an image that decodes, but none does: {broken[0]}")
    write_sealed_arrays(_rows_path(path), rows=decoded, broken=np.array(json.dumps(broken)))
    with sealing(path) as temporary:
        start = 0
        for block in read_features(request, folder):
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
