"""Average features by group, batch by batch, without holding all of them in memory."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import check_labels


def sum_by_group(features: NDArray[Any], groups: NDArray[Any], *, num_groups: int) -> NDArray[np.float64]:
    """Return the sum of the rows of each group, (num_groups, D) float64."""
    from scipy.sparse import csr_matrix  # slow to import, which every process of a cluster would wait for

    places = (groups, np.arange(len(groups)))
    membership = csr_matrix((np.ones(len(groups)), places), shape=(num_groups, len(groups)))
    sums: NDArray[np.float64] = membership @ features.astype(np.float64)
    return sums


class CentroidSums:
    """Add up features by group, batch by batch; the sums divided by the counts are the centroids.

    Sums are float64, whatever the features are: a float32 sum over a thousand images would lose three of their seven
    digits. A SelectionInputError is raised unless num_groups (K) and dimension (D) are ≥ 1.

    >>> sums = CentroidSums(2, 1)
    >>> sums.add(np.array([[1.0], [5.0]]), [0, 1])
    >>> sums.add(np.array([[3.0]]), [0])
    >>> sums.means().tolist(), sums.counts().tolist()
    ([[2.0], [5.0]], [2, 1])
    """

    def __init__(self, num_groups: int, dimension: int) -> None:
        if num_groups < 1 or dimension < 1:
            raise SelectionInputError(
                f"there must be at least 1 group and 1 dimension, but there are {num_groups} and "
                f"{dimension}; check the features"
            )
        self._sums = np.zeros((num_groups, dimension))
        self._counts: NDArray[np.int64] = np.zeros(num_groups, dtype=np.int64)

    def add(self, features: ArrayLike, labels: ArrayLike) -> None:
        """Add one batch: features (n, D), floating point and finite, and the group of each row, (n,) from 0 to K − 1.

        Where a shape or range does not hold, a SelectionInputError is raised and nothing of the batch is added.
        """
        features = np.asarray(features)
        num_groups, dimension = self._sums.shape
        if features.ndim != 2 or features.shape[1] != dimension or features.dtype.kind != "f":
            raise SelectionInputError(
                f"features must be floating point of shape (n, {dimension}), but are {features.dtype} of "
                f"shape {features.shape}; give one row for each image"
            )
        groups = check_labels(labels, len(features)).astype(np.intp)
        for row in np.flatnonzero((groups < 0) | (groups >= num_groups)):
            raise SelectionInputError(
                f"labels must be from 0 to {num_groups - 1}, but that of row {row} is {groups[row]}; "
                "check the number of groups"
            )
        for row in np.flatnonzero(~np.isfinite(features.astype(np.float64)).all(axis=1)):
            raise SelectionInputError(
                f"features must be finite, but those of row {row} (group {groups[row]}) are not; extract them again"
            )
        self._sums += sum_by_group(features, groups, num_groups=num_groups)
        self._counts += np.bincount(groups, minlength=num_groups)

    def means(self) -> NDArray[np.float64]:
        """Return the centroids, (K, D) float64: raw averages, not normalised; an error where a group has no rows."""
        empty = np.flatnonzero(self._counts == 0)
        if empty.size:
            listing = ", ".join(map(str, empty[:5])) + (", …" if empty.size > 5 else "")
            raise SelectionInputError(
                f"every group must have at least one feature, but {empty.size} of {len(self._counts)} have "
                f"none: {listing}; add their images or leave the groups out"
            )
        means: NDArray[np.float64] = self._sums / self._counts[:, None]
        return means

    def counts(self) -> NDArray[np.int64]:
        """Return the number of rows added for each group, (K,) int64."""
        return np.array(self._counts)
