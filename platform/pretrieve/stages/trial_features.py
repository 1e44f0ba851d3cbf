"""Stage: the features that trials read: of targets, for rows fitted to them and heads that start from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pretrieve.backbones import find_architecture
from pretrieve.components import OBJECTIVES
from pretrieve.features.stored_features import FeatureRequest
from pretrieve.methods import Method
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.backbone import BackboneStage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.features import SOURCE, StudyFeatures, forecast_extraction
from pretrieve.stages.image_sets import ImageSetsStage


class TrialFeaturesStage(Stage[Mapping[tuple[str, str], Path]]):
    """Extracts the features that trials read, and returns the folder of each (image set, split) of the whole sets.

    They are those of the network that is trained, in the view of prediction. Selections read the same ones of the
    train splits.
    """

    name = "trial features"
    place = 75

    def applies(self, context: Context) -> bool:
        return bool(_reading(context))

    def load(self, context: Context) -> Mapping[tuple[str, str], Path] | None:
        features, requests = trained_features(context), _requests(context)
        if any(request.missing_shards(features.folder) for request in requests.values()):
            return None
        return {which: features.folder / request.key for which, request in requests.items()}

    def make(self, context: Context) -> None:
        """Extract what is missing.

        Raises:
          OSError: an image's file cannot be read, or a shard cannot be written.
        """
        trained_features(context).extract_missing(list(_requests(context).values()))

    def artifacts(self, context: Context) -> list[Path]:
        folder = trained_features(context).folder
        requests = _requests(context).values()
        return [each.shard_path(folder, shard) for each in requests for shard in range(each.num_shards)]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        if not self.applies(context):
            return None
        sets = context.get(ImageSetsStage)
        everything = {SOURCE: sets.source, **sets.targets}
        wanted = _wanted(context)
        if context.find(BackboneStage) is None:
            counts = {which: everything[which[0]].whole.num_images(which[1]) for which in wanted}
        else:
            features, requests = trained_features(context), _requests(context)
            counts = {which: request.num_missing_rows(features.folder) for which, request in requests.items()}
        by_set: dict[str, int] = {}
        for (name, _), count in counts.items():
            by_set[everything[name].name] = by_set.get(everything[name].name, 0) + count
        per_s = next(iter(measured.speeds.values())).scored_per_s
        feature_dim = find_architecture(context.settings.backbone.architecture_name).feature_dim
        return forecast_extraction(self.name, by_set, measured, per_s, feature_dim)


def trained_features(context: Context) -> StudyFeatures:
    """Return the features of the study's image sets by the network that is trained."""
    sets = context.get(ImageSetsStage)
    backbone = context.get(BackboneStage).without_projector()
    return StudyFeatures(context, backbone, {SOURCE: sets.source, **sets.targets})


def _reading(context: Context) -> list[Method]:
    settings = context.settings
    return [settings.method(name) for name in settings.method_names if settings.reads_features(name)]


def _wanted(context: Context) -> list[tuple[str, str]]:
    """List the (image set, split) that trials read; nothing where no row reads features."""
    reading = _reading(context)
    if not reading:
        return []
    starts_source = any(
        not row.is_fitted and row.source_head == "fresh" and OBJECTIVES.find(row.trained_with).uses_source_head
        for row in reading
    )
    sets = context.get(ImageSetsStage).targets
    targets = [(name, split) for name, target in sets.items() for split in target.whole.splits]
    return [*targets, *([(SOURCE, "train")] if starts_source else [])]


def _requests(context: Context) -> dict[tuple[str, str], FeatureRequest]:
    features = trained_features(context)
    return {(name, split): features.request(name, split) for name, split in _wanted(context)}
