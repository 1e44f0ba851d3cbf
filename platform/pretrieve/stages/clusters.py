"""Stage: clusters of the source's images, made by a Ray task for studies that select clusters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key, derived_seed
from pretrieve.artifacts.seals import read_sealed_arrays, write_sealed_arrays
from pretrieve.artifacts.store import is_kept
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.features.stored_features import read_feature_matrix
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context
from pretrieve.stages.features import SOURCE, FeaturesStage, notice_broken
from pretrieve_selection import cluster_features

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration

CLUSTERS = "clusters"

CLUSTERS_VERSION = 1
"""Raise it when k-means gives other clusters."""

POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class ClusterRequest:
    """The clusters that a study needs: k-means on the features of the key `source_features`."""

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
    """A partition of a source's images, as it is stored.

    Attributes:
      assignment: (N,) int64, the cluster of each row of the source's train table that decodes; see `rows`.
      rows: (N,) int64, these rows.
      centroids: (K, D) float64, raw averages of the features.
      sizes: (K,) int64, ≥ 1.
      inertia: (iterations,) float64, Σ (1 − cos) after each iteration.
      converged: whether k-means converged.
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


class ClustersStage(Stage[SourceClusters]):
    """Divides the source's images into clusters of their features."""

    name = "clusters"
    place = 40

    def applies(self, context: Context) -> bool:
        return FeaturesStage().applies(context) and context.settings.selection.unit == "cluster"

    def load(self, context: Context) -> SourceClusters | None:
        path = context.store.path(CLUSTERS, f"{cluster_request(context).key}.npz")
        if not is_kept(path):
            return None
        kept = read_sealed_arrays(path)
        found = SourceClusters(
            assignment=kept["assignment"],
            rows=kept["rows"],
            centroids=kept["centroids"],
            sizes=kept["sizes"],
            inertia=kept["inertia"],
            converged=bool(kept["converged"]),
            broken=tuple(json.loads(str(kept["broken"]))),
        )
        notice_broken(found.broken, context.clock)
        if not found.converged:
            context.clock.notice(
                f"k-means has not come to rest after {len(found.inertia)} iterations (inertia "
                f"{found.inertia[-1] / len(found.rows):.4f} an image); selection.cluster_iterations allows more"
            )
        return found

    def make(self, context: Context) -> None:
        """Cluster the source's features in one Ray task that uses all CPUs of a node, or one GPU.

        Raises:
          SelectionInputError: there are fewer images than clusters, or an image's feature is zero or not finite.
        """
        features, request = context.get(FeaturesStage), cluster_request(context)
        features.extract([SOURCE])
        features.decoded_rows(SOURCE)
        limit = request.max_iterations
        with context.clock.stage(self.name, total=limit) as progressed:
            context.cluster.connect()
            _cluster_on_cluster(
                request,
                context.store.path(CLUSTERS, f"{request.key}.npz"),
                features.folder,
                on_iteration=lambda number, inertia: progressed(
                    min(number, limit), limit, f"inertia {inertia:.4f} an image"
                ),
            )

    def num_pieces(self, context: Context) -> int:
        """Return the largest possible number of iterations."""
        return context.settings.selection.cluster_iterations

    def artifacts(self, context: Context) -> list[Path]:
        return [context.store.path(CLUSTERS, f"{cluster_request(context).key}.npz")]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Forecast no time: the number of iterations is not known beforehand."""
        if context.find(ClustersStage) is not None:
            return None
        return StageForecast(self.name, None, f"{context.settings.selection.num_clusters:,} clusters")


def cluster_request(context: Context) -> ClusterRequest:
    """Describe the clusters that a study needs."""
    selection = context.settings.selection
    return ClusterRequest(
        context.get(FeaturesStage).key(SOURCE),
        selection.num_clusters,
        selection.cluster_iterations,
        context.settings.seed,
    )


def _cluster_on_cluster(
    request: ClusterRequest, path: Path, features: Path, *, on_iteration: Callable[[int, float], None]
) -> None:
    """Run the task; pass the number of each iteration and its inertia per image to `on_iteration`."""
    num_cpus, num_gpus = whole_node()
    log = path.with_suffix(".iterations.jsonl")
    log.unlink(missing_ok=True)
    run = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_cluster)
    pending = run.remote(request, path, features, log, num_cpus)
    num_reported = 0
    while True:
        is_done = bool(ray.wait([pending], timeout=POLL_INTERVAL_S)[0])
        *lines, _ = log.read_text(encoding="utf-8").split("\n") if log.exists() else [""]  # the last may be half a line
        for line in lines[num_reported:]:
            on_iteration(*json.loads(line))
        num_reported = len(lines)
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

    def write(iteration: int, inertia: float) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps([iteration, inertia / len(matrix.rows)]) + "\n")

    clusters = cluster_features(
        matrix.features,
        num_clusters=request.num_clusters,
        seed=derived_seed(request.seed, "clusters"),
        max_iterations=request.max_iterations,
        on_iteration=write,
    )
    write_sealed_arrays(
        path,
        assignment=clusters.assignment,
        rows=matrix.rows,
        centroids=clusters.centroids,
        sizes=clusters.sizes,
        inertia=np.array(clusters.inertia),
        converged=np.array(clusters.converged),
        broken=np.array(json.dumps(matrix.broken)),
    )
