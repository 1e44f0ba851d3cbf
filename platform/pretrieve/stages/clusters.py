"""Stage: clusters of the source's images, made by a Ray task for studies that select clusters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key, derived_seed
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_arrays, write_sealed_arrays
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.features.stored_features import read_feature_matrix
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.features import SOURCE, FeaturesStage, notice_broken
from pretrieve.stages.selection_settings import StudySelectionSettings
from pretrieve_selection import cluster_features

CLUSTERS = "clusters"

CLUSTERS_VERSION = 2
"""Raise it when k-means gives other clusters."""

POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class SourceClusters:
    """A partition of a source's images, as it is stored.

    Attributes:
      assignment: (N,) int64, the cluster of each row of the source's train table that decodes.
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
    is_shared = True

    def applies(self, context: Context) -> bool:
        return FeaturesStage().applies(context) and context.settings.selection.unit == "cluster"

    def load(self, context: Context) -> SourceClusters | None:
        if not is_kept(_path(context)):
            return None
        kept: dict[str, Any] = dict(read_sealed_arrays(_path(context)))
        kept |= {"converged": bool(kept["converged"]), "broken": tuple(json.loads(str(kept["broken"])))}
        found = SourceClusters(**kept)
        notice_broken(found.broken, context.clock)
        if not found.converged:
            context.clock.notice(
                f"k-means has not converged after {len(found.inertia)} iterations (inertia "
                f"{found.inertia[-1] / len(found.rows):.4f} an image); selection.cluster_iterations allows more"
            )
        return found

    def make(self, context: Context) -> None:
        """Cluster the source's features in one Ray task that uses all CPUs of a node, or one GPU.

        Raises:
          SelectionInputError: there are fewer images than clusters, or an image's feature is zero or not finite.
        """
        features, settings = context.get(FeaturesStage), context.settings
        features.extract([SOURCE])
        features.decoded_rows(SOURCE)
        limit, log = settings.selection.cluster_iterations, _path(context).with_suffix(".iterations.jsonl")
        with context.clock.stage(self.name, total=limit) as progressed:
            context.cluster.connect()
            num_cpus, num_gpus = whole_node()
            log.unlink(missing_ok=True)
            task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_cluster).remote(
                settings.selection,
                derived_seed(settings.shared_seed, "clusters"),
                (features.folder, features.key(SOURCE)),
                _path(context),
                log,
                num_cpus,
            )
            num_reported, is_done = 0, False
            while not is_done:
                is_done = bool(ray.wait([task], timeout=POLL_INTERVAL_S)[0])
                *lines, _ = log.read_text(encoding="utf-8").split("\n") if log.exists() else [""]  # the last may be cut
                for number, inertia in map(json.loads, lines[num_reported:]):
                    progressed(min(number, limit), limit, f"inertia {inertia:.4f} an image")
                num_reported = len(lines)
            with causes_of_task_errors():
                ray.get(task)
            log.unlink(missing_ok=True)

    def num_pieces(self, context: Context) -> int:
        return context.settings.selection.cluster_iterations

    def artifacts(self, context: Context) -> list[Path]:
        return [_path(context)]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Forecast no time: the number of iterations is not known beforehand."""
        if context.find(ClustersStage) is not None:
            return None
        return StageForecast(self.name, None, f"{context.settings.selection.num_clusters:,} clusters")


def clusters_key(context: Context) -> str:
    """Hash everything that decides the clusters of a study."""
    selection = context.settings.selection
    return content_key(
        kind="clusters",
        version=CLUSTERS_VERSION,
        features=context.get(FeaturesStage).key(SOURCE),
        num_clusters=selection.num_clusters,
        max_iterations=selection.cluster_iterations,
        seed=context.settings.shared_seed,
    )


def _path(context: Context) -> Path:
    return context.store.path(CLUSTERS, f"{clusters_key(context)}.npz")


def _cluster(
    settings: StudySelectionSettings, seed: int, matrix_of: tuple[Path, str], path: Path, log: Path, num_threads: int
) -> None:
    """Run k-means; append the number of each iteration and its inertia per image to `log`; the body of a Ray task."""
    import faiss

    faiss.omp_set_num_threads(num_threads)
    matrix = read_feature_matrix(*matrix_of)
    log.parent.mkdir(parents=True, exist_ok=True)

    def write(iteration: int, inertia: float) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps([iteration, inertia / len(matrix.rows)]) + "\n")

    clusters = cluster_features(
        matrix.features,
        num_clusters=settings.num_clusters,
        seed=seed,
        max_iterations=settings.cluster_iterations,
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
