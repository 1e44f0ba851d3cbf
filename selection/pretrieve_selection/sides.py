"""The two sides of a selection: their groups, and what a selector may read of the images in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pretrieve_selection.centroids import CentroidSums, sum_by_group
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import check_features, check_labels

Need = Literal["centroids", "moments", "features", "names"]

_ENTRIES_AT_ONCE = 2**22  # 32 MiB of float64


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """The mean and the spread of the features in each group, float64.

    Attributes:
      counts: (K,) int64, images of each group, ≥ 1.
      means: (K, D).
      variances: (K, D), mean squared deviation from the mean of the group; 0 for a group of one image.
      covariance: (D, D), pooled within groups: Σ (x − mean of its group)(x − mean of its group)ᵀ over all images,
        divided by their number N.
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroupedFeatures:
    """The features of all images of one side, with the group of each; they are only read.

    Attributes:
      features: (N, D) floating point of any precision, finite; may be mapped from a file.
      groups: (N,) integers from 0 to K − 1.

    Raises:
      SelectionInputError: the features are no matrix of floating-point numbers, or the groups not one integer for each.

    >>> images = GroupedFeatures(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]))
    >>> moments = images.moments(2)
    >>> moments.means.tolist(), moments.variances.tolist(), moments.covariance.round(3).tolist()
    ([[2.0], [5.0]], [[1.0], [0.0]], [[0.667]])
    """

    features: NDArray[Any]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_features(self.features)
        check_labels(self.groups, len(self.features))

    def moments(self, num_groups: int) -> GroupMoments:
        """Compute the moments of all groups, with a few blocks of 32 MiB in memory beside the results.

        The features are read twice, because a variance from Σx² loses the digits that mean and deviations share.

        Raises:
          SelectionInputError: a group has no image, or a feature is not finite.
        """
        sums = CentroidSums(num_groups, self.features.shape[1])
        for rows in self._blocks():
            sums.add(self.features[rows], self.groups[rows])
        counts, means = sums.counts(), sums.means()
        squares, covariance = np.zeros(means.shape), np.zeros((means.shape[1], means.shape[1]))
        for rows in self._blocks():
            groups = self.groups[rows]
            deviations = self.features[rows].astype(np.float64) - means[groups]
            covariance += deviations.T @ deviations
            squares += sum_by_group(deviations**2, groups, num_groups=num_groups)
        return GroupMoments(counts, means, squares / counts[:, None], covariance / len(self.features))

    def check_groups(self, shape: tuple[int, ...], side: str) -> None:
        """Raise a SelectionInputError, which names the side, unless the images fit centroids of the shape (K, D)."""
        (num_groups, dimension), found = shape, self.features.shape[1]
        if found != dimension:
            raise SelectionInputError(
                f"the features of the {side} must have the {dimension} dimensions of its centroids, but have {found}; "
                "average the centroids from the same features"
            )
        wrong = np.flatnonzero((self.groups < 0) | (self.groups >= num_groups))
        if wrong.size:
            raise SelectionInputError(
                f"the group of an image must be from 0 to {num_groups - 1}, but that of row {wrong[0]} of the {side} "
                f"is {self.groups[wrong[0]]}; give a centroid for each group"
            )

    def _blocks(self) -> Iterator[slice]:
        size = max(1, _ENTRIES_AT_ONCE // self.features.shape[1])
        for start in range(0, len(self.features), size):
            yield slice(start, start + size)


class Side:
    """What a selector may read of one side: of the groups of the source, or of the classes of the target.

    Only what the selector lists in `needs` is there, because a study supplies no more; reading anything else raises a
    SelectionInputError. Every selector may read `num_groups` (K).

    Args:
      name: "source" or "target".
      centroids: (K, D), checked.
      names: K names, or None; `names_for_errors` has them for any selector.
      images: the features, or None.
      needs: what the selector lists.
    """

    def __init__(
        self,
        name: str,
        centroids: NDArray[np.float64],
        names: Sequence[str] | None,
        images: GroupedFeatures | None,
        needs: tuple[Need, ...],
    ) -> None:
        self.num_groups, self.names_for_errors = len(centroids), names
        self._name, self._centroids, self._images, self._needs = name, centroids, images, needs

    @property
    def centroids(self) -> NDArray[np.float64]:
        """(K, D) float64, raw averages of the features of each group."""
        centroids: NDArray[np.float64] = self._read("centroids", self._centroids)
        return centroids

    @property
    def names(self) -> Sequence[str]:
        """The K names of the groups."""
        names: Sequence[str] = self._read("names", self.names_for_errors)
        return names

    @property
    def features(self) -> NDArray[Any]:
        """(N, D) floating point, the features of all images; a view that may be mapped from a file."""
        features: NDArray[Any] = self._read("features", self._images).features
        return features

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64, the group of each row of `features`."""
        groups: NDArray[np.int64] = self._read("features", self._images).groups
        return groups

    @cached_property
    def moments(self) -> GroupMoments:
        """The moments of all groups, computed when they are first read."""
        moments: GroupMoments = self._read("moments", self._images).moments(self.num_groups)
        return moments

    def _read(self, need: Need, value: Any) -> Any:
        if need not in self._needs:
            raise SelectionInputError(
                f"a selector must list what it reads in `needs`, but reads {need} of the {self._name} and lists "
                f"{', '.join(self._needs) or 'nothing'}; add {need!r} to `needs` of its class"
            )
        return value
