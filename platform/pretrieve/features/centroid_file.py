"""Centroids in NumPy archives, as other tools write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import UserError


@dataclass(frozen=True)
class NamedCentroids:
    """Mean features, (K, D) float64, of the groups of a source or of the classes of a target, and their K names.

    The names are "group 0" and so on if the file has none.
    """

    means: NDArray[np.float64]
    names: tuple[str, ...]


def read_centroid_file(path: Path) -> NamedCentroids:
    """Read an .npz archive with an array `means` (K, D) and optionally `names` (K,), without unpickling anything.

    Raises UserError if the file is missing or no such archive, or shapes do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("means", "names") if name in archive}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"centroids must be a NumPy archive (.npz), but {path}: {error}") from error
    if "means" not in arrays:
        raise UserError(f"{path} must hold an array 'means' of shape (K, D), but holds none; write it with np.savez")
    means = np.asarray(arrays["means"])
    if means.ndim != 2 or means.dtype.kind not in "fiu":
        raise UserError(f"'means' of {path} must be numbers of shape (K, D), but is {means.dtype} {means.shape}")
    names = tuple(str(name) for name in arrays.get("names", [f"group {k}" for k in range(len(means))]))
    if len(names) != len(means):
        raise UserError(f"{path} must have one name a row of 'means', but has {len(names)} for {len(means)}")
    return NamedCentroids(means.astype(np.float64), names)
