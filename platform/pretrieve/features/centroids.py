"""Centroids of groups and target classes: averaged from feature shards, or read from files of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import ImageSetError, UserError
from pretrieve.features.stored_features import DrawnFeatures, FeatureRequest
from pretrieve_selection import CentroidSums


@dataclass(frozen=True)
class ClassCentroids:
    """Mean raw features, (K, D) float64, of the classes of an image table, and the (K,) int64 images behind each mean.

    `broken` names the images in no mean, as "path: reason".
    """

    means: NDArray[np.float64]
    counts: NDArray[np.int64]
    broken: tuple[str, ...]


def class_centroids(
    request: FeatureRequest | DrawnFeatures,
    folder: Path,
    *,
    num_classes: int,
    feature_dim: int,
    class_names: Sequence[str] = (),
) -> ClassCentroids:
    """Average the features of each class (section 3.2: a_i, b_j), with one shard in memory at a time.

    Raises ImageSetError if a class has no image that decoded; without `class_names`, it is a SelectionInputError.
    """
    sums = CentroidSums(num_groups=num_classes, dimension=feature_dim)
    broken: list[str] = []
    for block in request.blocks(folder):
        sums.add(block.features, block.labels)
        broken += block.broken
    lost = [name for name, count in zip(class_names, sums.counts(), strict=False) if not count]
    if lost:
        raise ImageSetError(
            f"every class must have an image that decodes, but {len(lost)} have none: {', '.join(lost[:5])}; mend the "
            f"{len(broken)} images that do not, the first is {broken[0] if broken else 'none'}"
        )
    return ClassCentroids(means=sums.means(), counts=sums.counts(), broken=tuple(broken))


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
