"""Centroids of groups and target classes, averaged from feature shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.errors import ImageSetError
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
