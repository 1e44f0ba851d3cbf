"""Stage: features of the source and the targets, extracted when a later stage asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.features.centroids import class_centroids
from pretrieve.features.extraction import extract_features
from pretrieve.features.stored_features import DrawnFeatures, FeatureRequest, feature_key, make_feature_matrix
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.backbone import SelectionBackboneStage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StageClock

FEATURES = "features"

SOURCE = ""
"""Names the source where a target's name is expected; no target has this name."""

PIPELINE_START_S = 6.0
"""Seconds until the first block of Ray Data, without the start of its processes."""


@dataclass(frozen=True)
class StudyFeatures:
    """The features of a study's image sets (the targets by name, the source as SOURCE), computed when asked for."""

    context: Context
    backbone: Backbone
    image_sets: Mapping[str, ImageSet]

    @property
    def folder(self) -> Path:
        return self.context.store.root / FEATURES

    def key(self, name: str) -> str:
        return self.of_train(name).key

    def request(self, name: str, split: str = "train") -> FeatureRequest:
        """Describe the features of a split of a target, or of SOURCE, that are extracted: of the whole set."""
        image_set = self.image_sets[name].whole
        key = feature_key(self.backbone.identity, image_set.fingerprints[split])
        return FeatureRequest(key, image_set.splits[split])

    def of_train(self, name: str) -> FeatureRequest | DrawnFeatures:
        """Describe those of the training images alone: they represent a target in a selection."""
        image_set, request = self.image_sets[name], self.request(name)
        if image_set.drawn_from is None:
            return request
        return request.drawn(
            image_set.rows["train"], feature_key(self.backbone.identity, image_set.fingerprints["train"])
        )

    def extract(self, names: Iterable[str]) -> None:
        """Extract the missing features that hold the training images of these sets; see `extract_missing`."""
        self.extract_missing([self.request(name) for name in dict.fromkeys(names)])

    def extract_missing(self, requests: Sequence[FeatureRequest]) -> None:
        """Extract what is missing, in one pipeline on the cluster.

        Raises:
          OSError: an image's file cannot be read, or a shard cannot be written.
        """
        total = sum(request.num_shards for request in requests)
        missing = sum(len(request.missing_shards(self.folder)) for request in requests)
        with self.context.clock.stage(FeaturesStage.name, total=total, done=total - missing) as progressed:
            if missing:
                self.context.cluster.connect()
                extract_features(requests, self.backbone, self.folder, on_progress=progressed)

    def centroids(self, name: str) -> NDArray[np.float64]:
        """Average the extracted features of each class of a set, (K, D) float64.

        Raises:
          ImageSetError: a class has no image that decodes.
        """
        image_set = self.image_sets[name]
        made = class_centroids(
            self.of_train(name),
            self.folder,
            num_classes=image_set.num_classes,
            class_names=image_set.class_names,
            feature_dim=self.backbone.architecture.selection_dim,
        )
        notice_broken(made.broken, self.context.clock)
        return made.means

    def decoded_rows(self, name: str) -> NDArray[np.int64]:
        """Write the matrix of a set's extracted features, and return the rows of its train table that are in it.

        Raises:
          ImageSetError: no image of the set decodes.
        """
        matrix = make_feature_matrix(self.of_train(name), self.folder)
        notice_broken(matrix.broken, self.context.clock)
        return matrix.rows


class FeaturesStage(Stage[StudyFeatures]):
    """Returns the keys of the study's features; a later stage that needs the values has them extracted."""

    name = "features"
    place = 30

    def applies(self, context: Context) -> bool:
        return bool(context.settings.selecting)

    def load(self, context: Context) -> StudyFeatures:
        sets = context.get(ImageSetsStage)
        return StudyFeatures(context, context.get(SelectionBackboneStage), {SOURCE: sets.source, **sets.targets})

    def artifacts(self, context: Context) -> list[Path]:
        features = context.get(FeaturesStage)
        requests = [features.request(name) for name in features.image_sets]
        return [each.shard_path(features.folder, shard) for each in requests for shard in range(each.num_shards)]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Count the images whose features are missing; without a backbone, those of all sets."""
        sets, features = context.get(ImageSetsStage), context.find(FeaturesStage)
        counts = {each.name: each.num_images("train") for each in (sets.source, *sets.targets.values())}
        if features is not None:
            for name, image_set in features.image_sets.items():
                counts[image_set.name] = features.request(name).num_missing_rows(features.folder)
        return forecast_extraction(self.name, counts, measured, measured.features_per_s, measured.feature_dim)


def forecast_extraction(
    stage: str, counts: Mapping[str, int], measured: Calibration, per_s: float, feature_dim: int
) -> StageForecast:
    """Forecast the extraction of the features of so many images of each image set, at so many images a second."""
    total = sum(counts.values())
    if not total:
        return StageForecast(stage, 0.0, "")
    speed = next(iter(measured.speeds.values()))
    forward_s = total / (per_s * measured.resources.num_concurrent)
    seconds = PIPELINE_START_S + speed.process_s + measured.decoding_s(counts) + forward_s
    return StageForecast(stage, seconds, f"{total:,} images", disk_bytes=4 * feature_dim * total)


def notice_broken(broken: Iterable[str], clock: StageClock) -> None:
    """Send a notice for each image that is left out."""
    for image in broken:
        clock.notice(f"left out, because it does not decode: {image}")
