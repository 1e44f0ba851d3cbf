"""Stage: the source's images in clusters, by a Ray task, kept by key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.atomic_files import replacing
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.features.matrix import read_feature_matrix
from pretrieve.keys import content_key, derived_seed
from pretrieve_selection import cluster_features

CLUSTERS_VERSION = 1
"""Raise it when k-means gives other clusters."""

POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class ClusterRequest:
    """The clusters that a study needs.

    Attributes:
      source_features: key of the source's features.
      num_clusters: K.
      max_iterations: of k-means.
      seed: of the study.
    """

    source_features: str
    num_clusters: int
    max_iterations: int
    seed: int

    @property
    def key(self) -> str:
        """Hash of everything that decides the clusters."""
        return content_key(
            kind="clusters",
            version=CLUSTERS_VERSION,
            features=self.source_features,
            num_clusters=self.num_clusters,
            max_iterations=self.max_iterations,
            seed=self.seed,
        )


@dataclass(frozen=True)
class SourceClusters:
    """A partition of a source's images, as it is kept.

    Attributes:
      assignment: (N,) int64, the cluster of each row of the source's train table that decodes; see `rows`.
      rows: (N,) int64, these rows.
      centroids: (K, D) float64, raw averages of the features.
      sizes: (K,) int64, ≥ 1.
      inertia: (iterations,) float64, Σ (1 − cos) after each iteration.
      converged: whether k-means came to rest.
      broken: "path: reason" of the images that are in no cluster.
    """

    assignment: NDArray[np.int64]
    rows: NDArray[np.int64]
    centroids: NDArray[np.float64]
    sizes: NDArray[np.int64]
    inertia: NDArray[np.float64]
    converged: bool
    broken: tuple[str, ...]

    def assignment_of_rows(self, num_rows: int) -> NDArray[np.int64]:
        """Return (num_rows,) int64: the cluster of each row of the table, −1 where the image does not decode."""
        assignment = np.full(num_rows, -1, dtype=np.int64)
        assignment[self.rows] = self.assignment
        return assignment


def find_clusters(request: ClusterRequest, folder: Path) -> SourceClusters | None:
    """Read clusters made before; None where there are none."""
    path = _path(request, folder)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        return SourceClusters(
            assignment=kept["assignment"],
            rows=kept["rows"],
            centroids=kept["centroids"],
            sizes=kept["sizes"],
            inertia=kept["inertia"],
            converged=bool(kept["converged"]),
            broken=tuple(json.loads(str(kept["broken"]))),
        )


def cluster_on_cluster(
    request: ClusterRequest, folder: Path, features: Path, *, on_iteration: Callable[[int, float], None]
) -> None:
    """Cluster the source's features in one Ray task that takes a node's CPUs, or a GPU, and keep the result.

    Args:
      request: what to make.
      folder: the cluster cache.
      features: the feature cache, which holds the source's matrix.
      on_iteration: called with the number of each iteration and its inertia an image.

    Raises:
      SelectionInputError: there are fewer images than clusters, or an image's feature is zero or not finite.
    """
    num_cpus, num_gpus = whole_node()
    log = _path(request, folder).with_suffix(".iterations.jsonl")
    log.unlink(missing_ok=True)
    run = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_cluster)
    pending = run.remote(request, _path(request, folder), features, log, num_cpus)
    told = 0
    while True:
        is_done = bool(ray.wait([pending], timeout=POLL_INTERVAL_S)[0])
        *lines, _ = log.read_text(encoding="utf-8").split("\n") if log.exists() else [""]  # the last may be half a line
        for line in lines[told:]:
            on_iteration(*json.loads(line))
        told = len(lines)
        if is_done:
            break
    with causes_of_task_errors():
        ray.get(pending)
    log.unlink(missing_ok=True)


def _cluster(request: ClusterRequest, path: Path, features: Path, log: Path, num_threads: int) -> None:
    import faiss

    faiss.omp_set_num_threads(num_threads)
    matrix = read_feature_matrix(features, request.source_features)
    log.parent.mkdir(parents=True, exist_ok=True)

    def tell(iteration: int, inertia: float) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps([iteration, inertia / len(matrix.rows)]) + "\n")

    clusters = cluster_features(
        matrix.features,
        num_clusters=request.num_clusters,
        seed=derived_seed(request.seed, "clusters"),
        max_iterations=request.max_iterations,
        on_iteration=tell,
    )
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            assignment=clusters.assignment,
            rows=matrix.rows,
            centroids=clusters.centroids,
            sizes=clusters.sizes,
            inertia=np.array(clusters.inertia),
            converged=np.array(clusters.converged),
            broken=np.array(json.dumps(matrix.broken)),
        )


def _path(request: ClusterRequest, folder: Path) -> Path:
    return folder / f"{request.key}.npz"
