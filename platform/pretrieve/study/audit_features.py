"""The features by which a study's audit brings up pairs: extracted where the cache has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.audit.audit import AuditFeatures
from pretrieve.audit.copy_features import TestFeatureRequests, plan_test_features, read_audit_features
from pretrieve.audit.settings import AuditSettings
from pretrieve.data.image_set import ImageSet
from pretrieve.features.extraction import extract_features
from pretrieve.features.shards import FeatureRequest, feature_key, features_of
from pretrieve.keys import content_key
from pretrieve.stages.features import SOURCE, StudyFeatures

Progress = Callable[[int, int], None]


class ComparedFeatures:
    """Features of what the audits of a study compare.

    Args:
      features: of the study, whose backbone and cache are used.
      targets: the image sets by name.
      settings: of the audits.
    """

    def __init__(self, features: StudyFeatures, targets: dict[str, ImageSet], settings: AuditSettings) -> None:
        self._features = features
        self._targets = targets
        self._settings = settings
        self._planned: dict[str, TestFeatureRequests] = {}

    def of_source(self, target: str, reused: pa.Table, *, on_progress: Progress) -> AuditFeatures:
        """Return the features of the reused rows of the source, and of the target's test images.

        Those of the whole source are there where a selection was made by features; else only these rows are extracted.

        Raises:
          ImageSetError: none of the sampled test images decodes.
          OSError: an image's file cannot be read, or a shard not be written.
        """
        indices: NDArray[np.int64] = reused["index"].to_numpy()
        whole = self._features.request(SOURCE)
        request = whole
        if whole.missing_shards(self._features.folder):
            rows = content_key(images=whole.key, rows=indices.tolist())
            request = FeatureRequest(feature_key(self._features.backbone.identity, rows), reused)
        return self._read([(request, indices)], target, on_progress)

    def of_own(self, target: str, *, on_progress: Progress) -> AuditFeatures:
        """Return the features of a target's train and val images, in this order, and of its test images.

        Raises:
          ImageSetError: none of the sampled test images decodes.
          OSError: an image's file cannot be read, or a shard not be written.
        """
        image_set = self._targets[target]
        val = FeatureRequest(
            feature_key(self._features.backbone.identity, image_set.fingerprints["val"]), image_set.splits["val"]
        )
        requests = [self._features.request(target), *([val] if val.table.num_rows else [])]
        return self._read([(it, it.table["index"].to_numpy()) for it in requests], target, on_progress)

    def _read(
        self, compared: list[tuple[FeatureRequest, NDArray[np.int64]]], target: str, on_progress: Progress
    ) -> AuditFeatures:
        if target not in self._planned:  # once for both comparisons of a target: copies are made for it
            image_set = self._targets[target]
            self._planned[target] = plan_test_features(
                image_set.splits["test"], image_set.fingerprints["test"], self._features.backbone, self._settings
            )
        planned, folder = self._planned[target], self._features.folder
        needed = [*(request for request, _ in compared), *planned.all]
        extract_features(needed, self._features.backbone, folder, on_progress=on_progress)
        source = np.concatenate([features_of(request, folder, indices) for request, indices in compared])
        return read_audit_features(source, planned, folder, self._settings)
