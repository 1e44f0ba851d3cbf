"""Stage: how far each target lies from the source in the features that selections are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.stages._base import Stage
from pretrieve.stages.clusters import ClustersStage, clusters_key
from pretrieve.stages.context import Context
from pretrieve.stages.features import SOURCE, FeaturesStage
from pretrieve.stages.image_sets import ImageSetsStage

DISTANCES = "distances"


class DistancesStage(Stage[Mapping[str, float]]):
    """Returns the distance of each target by name, of studies that select classes or clusters."""

    name = "distances"
    place = 55
    is_shared = True

    def applies(self, context: Context) -> bool:
        return FeaturesStage().applies(context) and context.settings.selection.unit != "image"

    def load(self, context: Context) -> Mapping[str, float] | None:
        if not self.applies(context):
            return {}
        paths = _paths(context)
        if not all(map(is_kept, paths.values())):
            return None
        return {target: float(read_sealed_json(path)["distance"]) for target, path in paths.items()}

    def make(self, context: Context) -> None:
        """Compare the centroids of the target's classes with those of the source's groups."""
        features, is_clustered = context.get(FeaturesStage), context.settings.selection.unit == "cluster"
        features.extract([SOURCE, *context.get(ImageSetsStage).targets])
        source = context.get(ClustersStage).centroids if is_clustered else features.centroids(SOURCE)
        for target, path in _paths(context).items():
            if not is_kept(path):
                distance = mean_nearest_distance(source, features.centroids(target))
                write_sealed_json(path, {"target": target, "distance": distance})

    def artifacts(self, context: Context) -> list[Path]:
        return list(_paths(context).values())


def _paths(context: Context) -> dict[str, Path]:
    features, is_clustered = context.get(FeaturesStage), context.settings.selection.unit == "cluster"
    source = clusters_key(context) if is_clustered else features.key(SOURCE)
    keys = {
        target: content_key(kind="distance", source=source, target=features.key(target))
        for target in context.get(ImageSetsStage).targets
    }
    return {target: context.store.path(DISTANCES, f"{key}.json") for target, key in keys.items()}


def mean_nearest_distance(source: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Average over the target's classes the cosine distance to the source's nearest group.

    Args:
      source: (K_source, D) centroids.
      target: (K_target, D) centroids. A zero centroid has a distance of 1 from all.

    Returns:
      A float in [0, 2]: 0 where each class of the target points the way of some group of the source.

    >>> mean_nearest_distance(np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[2.0, 0.0], [0.0, -1.0]]))
    0.5
    """
    cosines = _unit_rows(target) @ _unit_rows(source).T
    return float(np.clip(1.0 - cosines.max(axis=1), 0.0, 2.0).mean())


def _unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
