"""Groups from clusters, for a source without labels: spherical k-means, its searches done by faiss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from pretrieve_selection.centroids import CentroidSums
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import refuse_rows

_ROWS_AT_ONCE = 65536

# Part of the inertia that an iteration must take off for another one to be worth its time.
_SMALLEST_IMPROVEMENT = 1e-6

# Iterations beyond the limit that may go into clusters which are still empty then.
_MAX_REPAIRS = 20

# Directions closer than this (1 − cos) are one direction in float32.
_SAME_DIRECTION = 1e-6


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of images by the directions of their features; no cluster is empty.

    Attributes:
      assignment: (N,) int64, the cluster of each image: that of the nearest direction.
      centroids: (K, D) float64, raw averages of the features of the members, as of any group.
      sizes: (K,) int64, number of members, ≥ 1.
      directions: (K, D) float32, unit vectors, the centres that the images were assigned to.
      inertia: Σ (1 − cos) over all images, after each iteration; it never rises, but for the rounding of
        float32, unless an empty cluster was moved.
      converged: whether the last iteration took off less than a millionth of the inertia.
    """

    assignment: NDArray[np.int64]
    centroids: NDArray[np.float64]
    sizes: NDArray[np.int64]
    directions: NDArray[np.float32]
    inertia: tuple[float, ...]
    converged: bool


@dataclass(frozen=True, eq=False)
class _Assignment:
    clusters: NDArray[np.int64]
    similarities: NDArray[np.float32]
    direction_sums: NDArray[np.float64]

    @property
    def inertia(self) -> float:
        return float(np.sum(1.0 - self.similarities, dtype=np.float64))

    @property
    def empty(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.bincount(self.clusters, minlength=len(self.direction_sums)) == 0)


def cluster_features(
    features: ArrayLike,
    *,
    num_clusters: int,
    seed: int,
    max_iterations: int = 25,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Clusters:
    """Partition images into clusters that serve as groups where a source has no classes (section 4).

    Every image takes part in every iteration: none of faiss's sub-sampling, by which groups would depend on a
    draw. Nothing of the size of the features is held beside them. The searches run on the GPUs that faiss
    sees. A cluster that loses its last member starts again at the image farthest from its own centre, which,
    other than faiss's splitting of a large cluster, works where images come more than once.

    The same seed, features, number of threads and machine type give the same clusters, on a CPU to the bit.

    Args:
      features: (N, D) floating point, finite, no zero row; read in parts, so it may be mapped from a file.
      num_clusters: K, from 1 to N.
      seed: decides the K images whose directions the clusters start from.
      max_iterations: ≥ 1; some more may follow to fill empty clusters.
      on_iteration: told the number of each iteration, from 1, and the inertia it found.

    Returns:
      Clusters: assignment, centroids, sizes, directions and the inertia of each iteration.

    Raises:
      SelectionInputError: a shape or range above does not hold, or the features point in fewer different
        directions than there are to be clusters.

    >>> features = np.array([[1.0, 0.0], [5.0, 0.1], [0.0, 2.0]], dtype=np.float32)
    >>> clusters = cluster_features(features, num_clusters=2, seed=0)
    >>> sorted(clusters.sizes.tolist()), bool(clusters.assignment[0] == clusters.assignment[1])
    ([1, 2], True)
    """
    matrix = np.asarray(features)
    _check_shapes(matrix, num_clusters, max_iterations)
    lengths = _checked_lengths(matrix)
    start = np.sort(np.random.default_rng(seed).choice(len(matrix), num_clusters, replace=False))
    directions = _unit(matrix[start], lengths[start])
    inertia: list[float] = []
    while True:
        found = _assign(matrix, lengths, directions)
        inertia.append(found.inertia)
        if on_iteration is not None:
            on_iteration(len(inertia), inertia[-1])
        converged = len(inertia) > 1 and inertia[-2] - inertia[-1] <= _SMALLEST_IMPROVEMENT * inertia[-2]
        if not found.empty.size and (converged or len(inertia) >= max_iterations):
            return _clusters(matrix, found, directions, tuple(inertia), converged)
        if len(inertia) >= max_iterations + _MAX_REPAIRS:
            _refuse_empty(found)
        directions = _move(matrix, lengths, found, directions)


def _assign(features: NDArray[Any], lengths: NDArray[np.float64], directions: NDArray[np.float32]) -> _Assignment:
    """Find the nearest direction of each image, and sum the directions of the members of each cluster."""
    index = _make_index(directions)
    clusters = np.empty(len(features), dtype=np.int64)
    similarities = np.empty(len(features), dtype=np.float32)
    sums = np.zeros(directions.shape)
    for rows in _parts(len(features)):
        unit = _unit(features[rows], lengths[rows])
        nearest_similarity, nearest = index.search(unit, 1)
        clusters[rows], similarities[rows] = nearest[:, 0], nearest_similarity[:, 0]
        ones, places = np.ones(len(unit)), np.arange(len(unit))
        sums += csr_matrix((ones, (nearest[:, 0], places)), shape=(len(sums), len(unit))) @ unit.astype(np.float64)
    return _Assignment(clusters, similarities, sums)


def _make_index(directions: NDArray[np.float32]) -> Any:
    import faiss  # here, for it takes longer to load than the rest of the package

    index: Any = faiss.IndexFlatIP(directions.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(directions)
    return index


def _move(
    features: NDArray[Any], lengths: NDArray[np.float64], found: _Assignment, directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean direction of each cluster's members, and for empty clusters that of a far image."""
    norms = np.linalg.norm(found.direction_sums, axis=1)
    moved: NDArray[np.float32] = directions.copy()
    # Members that cancel out have no mean direction: their cluster stays where it is.
    has_mean = norms > _SAME_DIRECTION
    moved[has_mean] = found.direction_sums[has_mean] / norms[has_mean, None]
    far = _far_directions(features, lengths, found.similarities, count=len(found.empty))
    moved[found.empty[: len(far)]] = far
    return moved


def _far_directions(
    features: NDArray[Any], lengths: NDArray[np.float64], similarities: NDArray[np.float32], *, count: int
) -> NDArray[np.float32]:
    """Return at most `count` different directions of images far from their centre, the farthest first."""
    pool = np.argsort(similarities, kind="stable")[: 16 * count + 256] if count else np.empty(0, dtype=np.intp)
    unit, nearest = _unit(features[pool], lengths[pool]), similarities[pool]
    chosen: list[NDArray[np.float32]] = []
    while len(chosen) < count and 1.0 - nearest.min() > _SAME_DIRECTION:
        chosen.append(unit[nearest.argmin()])
        nearest = np.maximum(nearest, unit @ chosen[-1])
    directions: NDArray[np.float32] = np.array(chosen, dtype=np.float32).reshape(-1, features.shape[1])
    return directions


def _clusters(
    features: NDArray[Any],
    found: _Assignment,
    directions: NDArray[np.float32],
    inertia: tuple[float, ...],
    converged: bool,
) -> Clusters:
    members = CentroidSums(*directions.shape)
    for rows in _parts(len(features)):
        members.add(features[rows], found.clusters[rows])
    return Clusters(found.clusters, members.means(), members.counts(), directions, inertia, converged)


def _parts(num_rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, num_rows))


def _unit(features: NDArray[Any], lengths: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(features / lengths[:, None], dtype=np.float32)


def _check_shapes(features: NDArray[Any], num_clusters: int, max_iterations: int) -> None:
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise SelectionInputError(
            "features must be a floating-point (images, dimensions) matrix with at least one of each, but are "
            f"{features.dtype} of shape {features.shape}; give one row for each image"
        )
    if not 1 <= num_clusters <= len(features):
        raise SelectionInputError(
            f"num_clusters must be from 1 to the number of images, but num_clusters is {num_clusters} and there "
            f"are {len(features)} images; lower num_clusters, or give more images"
        )
    if max_iterations < 1:
        raise SelectionInputError(f"max_iterations must be at least 1, but is {max_iterations}; the default is 25")


def _checked_lengths(features: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.empty(len(features))
    for rows in _parts(len(features)):
        lengths[rows] = np.linalg.norm(features[rows].astype(np.float64), axis=1)
    remedy = "extract its features again"
    refuse_rows(~np.isfinite(lengths), "finite (no NaN, no infinity)", "source", None, remedy, what="image")
    refuse_rows(lengths == 0, "different from the zero vector", "source", None, remedy, what="image")
    return lengths


def _refuse_empty(found: _Assignment) -> None:
    raise SelectionInputError(
        f"every cluster must have a member, but {len(found.empty)} of {len(found.direction_sums)} stayed empty: "
        "the features point in too few different directions; lower num_clusters"
    )
