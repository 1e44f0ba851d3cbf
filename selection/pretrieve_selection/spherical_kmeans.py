"""Clusters as groups, for a source without labels: spherical k-means with the searches of faiss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.centroids import CentroidSums, sum_by_group
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import FINITE, check_features, refuse_rows

_ROWS_AT_ONCE = 65536

# Part of the inertia that an iteration must remove for another iteration to follow.
_SMALLEST_IMPROVEMENT = 1e-6

# Iterations beyond the limit that may follow to fill empty clusters while the other clusters move as well. After them
# only empty clusters move: each of them at most once, so that this ends.
_MAX_REPAIRS = 20

# Directions closer than this (1 − cos) count as the same direction, as the searches in float32 tell closer ones apart
# only by chance.
_SAME_DIRECTION = 1e-6


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of images by the directions of their features; no cluster is empty.

    Attributes:
      assignment: (N,) int64, the cluster of each image: the one with the nearest direction.
      centroids: (K, D) float64, raw averages of the features of the members, as for any group.
      sizes: (K,) int64, number of members, ≥ 1.
      directions: (K, D) float32, unit vectors, the centres that the images were assigned to.
      inertia: Σ (1 − cos) over all images, ≥ 0, after each iteration. Apart from the rounding of float32, it rises
        only where a cluster came to the direction of another and was moved.
      converged: whether the last iteration removed less than a millionth of the inertia.
    """

    assignment: NDArray[np.int64]
    centroids: NDArray[np.float64]
    sizes: NDArray[np.int64]
    directions: NDArray[np.float32]
    inertia: tuple[float, ...]
    converged: bool


def cluster_features(
    features: ArrayLike,
    *,
    num_clusters: int,
    seed: int,
    max_iterations: int = 25,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Clusters:
    """Partition images into clusters that serve as groups where a source has no classes (section 4).

    Every iteration uses every image, without the sub-sampling of faiss, which would make groups depend on a random
    draw. Memory besides the features stays small. The searches run on the GPUs that faiss sees. A cluster that loses
    its last member, or has the same direction as another, starts again at the image that is farthest from its own
    centre. Unlike faiss's splitting of a large cluster, this works where images occur any number of times.

    The same seed, features, number of threads and machine type give the same clusters; on a CPU, to the bit.

    Args:
      features: (N, D) floating point, finite, no zero row; read in parts, so it may be mapped from a file.
      num_clusters: K, from 1 to N.
      seed: ≥ 0; decides which K images give the first directions of the clusters.
      max_iterations: ≥ 1; more follow as long as a cluster is empty.
      on_iteration: called with the number of each iteration, from 1, and its inertia.

    Raises:
      SelectionInputError: a shape or range above does not hold, or the features point in fewer than K different
        directions (1 − cos > 1e-6).

    >>> features = np.array([[1.0, 0.0], [5.0, 0.1], [0.0, 2.0]], dtype=np.float32)
    >>> clusters = cluster_features(features, num_clusters=2, seed=0)
    >>> sorted(clusters.sizes.tolist()), bool(clusters.assignment[0] == clusters.assignment[1])
    ([1, 2], True)
    """
    matrix = np.asarray(features)
    check_features(matrix)
    _check_settings(len(matrix), num_clusters, max_iterations, seed)
    lengths = _checked_lengths(matrix)
    start = np.sort(np.random.default_rng(seed).choice(len(matrix), num_clusters, replace=False))
    directions = _unit(matrix[start], lengths[start])
    inertia: list[float] = []
    while True:
        assignment, similarities, sums = _assign(matrix, lengths, directions)
        inertia.append(float(np.sum(1.0 - similarities, dtype=np.float64)))
        if on_iteration is not None:
            on_iteration(len(inertia), inertia[-1])
        converged = len(inertia) > 1 and inertia[-2] - inertia[-1] <= _SMALLEST_IMPROVEMENT * inertia[-2]
        empty = np.flatnonzero(np.bincount(assignment, minlength=num_clusters) == 0)
        if not empty.size and (converged or len(inertia) >= max_iterations):
            members = CentroidSums(*directions.shape)
            for rows in _parts(len(matrix)):
                members.add(matrix[rows], assignment[rows])
            return Clusters(assignment, members.means(), members.counts(), directions, tuple(inertia), converged)
        directions = directions.copy()
        if len(inertia) < max_iterations + _MAX_REPAIRS:
            norms = np.linalg.norm(sums, axis=1)
            # Where the members cancel out there is no mean direction, and the cluster keeps its old one.
            has_mean = norms > _SAME_DIRECTION
            directions[has_mean] = sums[has_mean] / norms[has_mean, None]
        if empty.size:
            far = _far_directions(matrix, lengths, similarities, count=len(empty))
            if len(far) < len(empty):
                raise SelectionInputError(
                    f"every cluster must have a member, but {len(empty) - len(far)} of {num_clusters} stayed empty: "
                    "the features point in too few different directions; lower num_clusters"
                )
            directions[empty] = far


def _check_settings(num_images: int, num_clusters: int, max_iterations: int, seed: int) -> None:
    if not 1 <= num_clusters <= num_images:
        raise SelectionInputError(
            f"num_clusters must be from 1 to the number of images, but num_clusters is {num_clusters} and there "
            f"are {num_images} images; lower num_clusters, or give more images"
        )
    if max_iterations < 1:
        raise SelectionInputError(f"max_iterations must be at least 1, but is {max_iterations}; the default is 25")
    if seed < 0:
        raise SelectionInputError(f"seed must be at least 0, but is {seed}; give any other number")


def _assign(
    features: NDArray[Any], lengths: NDArray[np.float64], directions: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Return the cluster of each image, its cosine to the cluster's direction, and each cluster's sum of directions."""
    import faiss  # imported here because it loads more slowly than the rest of the package

    index: Any = faiss.IndexFlatIP(directions.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    # Between equal directions, rounding would decide: the copies of an image would fill several clusters.
    different = _different(directions)
    index.add(directions[different])
    clusters = np.empty(len(features), dtype=np.int64)
    similarities = np.empty(len(features), dtype=np.float32)
    sums = np.zeros(directions.shape)
    for rows in _parts(len(features)):
        unit = _unit(features[rows], lengths[rows])
        nearest_similarity, nearest = index.search(unit, 1)
        clusters[rows] = different[nearest[:, 0]]
        similarities[rows] = np.minimum(nearest_similarity[:, 0], 1.0)  # rounding may push it past 1
        sums += sum_by_group(unit, clusters[rows], num_groups=len(sums))
    return clusters, similarities, sums


def _different(directions: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the indices of the directions that differ from every direction before them."""
    is_copy = np.zeros(len(directions), dtype=bool)
    for start in range(0, len(directions), 1024):
        rows = slice(start, start + 1024)
        is_same = 1.0 - directions[rows] @ directions[: start + 1024].T <= _SAME_DIRECTION
        is_copy[rows] = np.tril(is_same, start - 1).any(axis=1)
    return np.flatnonzero(~is_copy)


def _far_directions(
    features: NDArray[Any], lengths: NDArray[np.float64], similarities: NDArray[np.float32], *, count: int
) -> NDArray[np.float32]:
    """Return at most `count` directions of images far from their centre, each as far from the chosen ones as can be.

    The farthest images are looked at first. As many copies of one image may be among them, more follow until there are
    `count` directions, or until every image is at a centre or at a chosen direction.
    """
    num_far, pool_size = np.count_nonzero(1.0 - similarities > _SAME_DIRECTION), 16 * count + 256
    far = np.argsort(similarities, kind="stable")[:num_far]
    chosen: list[NDArray[np.float32]] = []
    for start in range(0, num_far, pool_size):
        pool = far[start : start + pool_size]
        unit, nearest = _unit(features[pool], lengths[pool]), similarities[pool]
        for direction in chosen:
            nearest = np.maximum(nearest, unit @ direction)
        while len(chosen) < count and 1.0 - nearest.min() > _SAME_DIRECTION:
            chosen.append(unit[nearest.argmin()])
            nearest = np.maximum(nearest, unit @ chosen[-1])
        if len(chosen) == count:
            break
    return np.array(chosen, dtype=np.float32).reshape(-1, features.shape[1])


def _parts(num_rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, num_rows))


def _unit(features: NDArray[Any], lengths: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(features / lengths[:, None], dtype=np.float32)


def _checked_lengths(features: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.empty(len(features))
    for rows in _parts(len(features)):
        lengths[rows] = np.linalg.norm(features[rows].astype(np.float64), axis=1)
    refuse_rows(~np.isfinite(lengths), FINITE, "source", what="image")
    refuse_rows(lengths == 0, ("different from the zero vector", "extract its features again"), "source", what="image")
    return lengths
