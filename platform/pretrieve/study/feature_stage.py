"""Stage: features of the source and the targets, and what selections are made from: centroids and matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.features.class_centroids import class_centroids
from pretrieve.features.extraction import extract_features
from pretrieve.features.matrix import make_feature_matrix
from pretrieve.features.shards import FeatureRequest, feature_key
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock

SOURCE = ""
"""Stands for the source where a target's name may stand; no target is named so."""


class StudyFeatures:
    """The features of a study's image sets, computed where something asks for them.

    Args:
      settings: the study.
      source: its source.
      targets: its targets by name.
      backbone: the network whose features they are.
    """

    def __init__(
        self, settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet], backbone: Backbone
    ) -> None:
        self.backbone = backbone
        self._image_sets = {SOURCE: source, **targets}
        self._requests = {name: _request(image_set, backbone) for name, image_set in self._image_sets.items()}
        self.folder = settings.cache / "features"

    def key(self, name: str) -> str:
        """Return the key of the features of a target, or of SOURCE."""
        return self._requests[name].key

    def request(self, name: str) -> FeatureRequest:
        """Return what is extracted of the train split of a target, or of SOURCE."""
        return self._requests[name]

    def are_missing(self, names: Iterable[str]) -> bool:
        """Return whether something of these sets is not in the cache."""
        return any(self._requests[name].missing_shards(self.folder) for name in names)

    def extract(self, names: Iterable[str], clock: StageClock) -> None:
        """Compute what is missing of these sets, in one pipeline.

        Raises:
          OSError: an image's file could not be read, or a shard not be written.
        """
        requests = [self._requests[name] for name in names]
        total = sum(request.num_shards for request in requests)
        missing = sum(len(request.missing_shards(self.folder)) for request in requests)
        with clock.stage("features", total=total, done=total - missing) as progressed:
            extract_features(requests, self.backbone, self.folder, on_progress=progressed)

    def centroids(self, name: str, clock: StageClock) -> NDArray[np.float64]:
        """Average the extracted features of each class of a set, (K, D) float64.

        Raises:
          ImageSetError: a class has no image that decodes.
        """
        made = class_centroids(
            self._requests[name],
            self.folder,
            num_classes=self._image_sets[name].num_classes,
            class_names=self._image_sets[name].class_names,
            feature_dim=self.backbone.architecture.selection_dim,
        )
        notice_broken(made.broken, clock)
        return made.means

    def decoded_rows(self, name: str, clock: StageClock) -> NDArray[np.int64]:
        """Write the matrix of a set's extracted features, and return the rows of its train table that are in it.

        Raises:
          ImageSetError: no image of the set decodes.
        """
        matrix = make_feature_matrix(self._requests[name], self.folder)
        notice_broken(matrix.broken, clock)
        return matrix.rows


def notice_broken(broken: Iterable[str], clock: StageClock) -> None:
    """Tell of images that are left out."""
    for image in broken:
        clock.notice(f"left out, because it does not decode: {image}")


def _request(image_set: ImageSet, backbone: Backbone) -> FeatureRequest:
    # A target is represented by its train split alone: validation images choose the configuration, so they may not
    # choose the source as well.
    key = feature_key(backbone.identity, image_set.fingerprints["train"])
    return FeatureRequest(key, image_set.splits["train"])
