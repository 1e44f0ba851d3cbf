"""What of a study's preparation is missing, and how long each of its stages will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pretrieve.backbones import Backbone, find_architecture
from pretrieve.data.image_set import ImageSet
from pretrieve.image_cache.build import missing_entries
from pretrieve.methods import METHODS
from pretrieve.study.backbone_stage import backbone_from_weights, find_pretrained, pretrained_key
from pretrieve.study.feature_stage import SOURCE, StudyFeatures
from pretrieve.study.image_cache_stage import TRIALS_READ
from pretrieve.study.materials import split_entry
from pretrieve.study.planning.calibration import Calibration
from pretrieve.study.planning.forecast import StageForecast
from pretrieve.study.settings import StudySettings
from pretrieve.study.source_units import ClassUnits
from pretrieve.training.objectives import find_objective

PIPELINE_START_S = 6.0
"""What Ray Data needs until its first block, beside the processes that it starts."""

SELECTION_S = 0.1
"""One selection among classes or clusters: a task, and a solve of milliseconds."""

REGRESSION_S_PER_CLASS = 0.05
"""Co-Tuning's calibrated logistic regression, for each class of the target (measured on 101 classes and 1,000)."""


@dataclass(frozen=True)
class PreparationForecast:
    """The stages before the trials, and what of them is kept on the disk.

    Attributes:
      stages: in their order.
      disk_bytes: of what is missing.
    """

    stages: tuple[StageForecast, ...]
    disk_bytes: int


def find_backbone(settings: StudySettings, source: ImageSet) -> Backbone | None:
    """Return the study's backbone where it need not be trained first.

    Raises:
      BackboneError: its weights cannot be had or do not fit.
    """
    cache = settings.cache / "backbones"
    if settings.backbone.pretrain is None:
        return backbone_from_weights(settings.backbone, cache)
    key = pretrained_key(settings.backbone, source.fingerprints["train"], settings.seed)
    return find_pretrained(settings.backbone, key, cache)


def forecast_preparation(
    settings: StudySettings,
    source: ImageSet,
    targets: Mapping[str, ImageSet],
    backbone: Backbone | None,
    measured: Calibration,
) -> PreparationForecast:
    """Forecast the stages before the trials of a study whose preparation is not whole.

    Args:
      settings: the study.
      source: its source.
      targets: its targets by name.
      backbone: None where it is to be trained first.
      measured: of the cluster.
    """
    architecture = find_architecture(settings.backbone.architecture_name)
    image_bytes = 3 * architecture.preprocessing.resize_size**2
    stages: list[StageForecast] = []
    disk_bytes = 0
    source_is_cached = False
    if backbone is None:
        missing = _missing_source_images(settings, source)
        stages.append(_pretraining(settings, source, missing, measured))
        disk_bytes += missing * image_bytes
        source_is_cached = True
    selecting = [method for method in settings.methods if METHODS[method].selector is not None]
    if selecting:
        num_images = _images_without_features(settings, source, targets, backbone)
        stages.append(_features(source, targets, num_images, measured))
        disk_bytes += sum(num_images.values()) * 4 * architecture.selection_dim
        stages += _choosing(settings, len(targets) * len(selecting))
    stage, num_cached = _image_cache(settings, source, targets, measured, reuses=not source_is_cached)
    stages.append(stage)
    disk_bytes += num_cached * image_bytes
    stages += _relationships(settings, targets, measured)
    return PreparationForecast(tuple(stages), disk_bytes)


def _missing_source_images(settings: StudySettings, source: ImageSet) -> int:
    size = find_architecture(settings.backbone.architecture_name).preprocessing.resize_size
    entries = ClassUnits(source, "classes").entries(range(source.num_classes), size)
    return sum(entry.table.num_rows for entry in missing_entries(entries, settings.cache / "images"))


def _pretraining(settings: StudySettings, source: ImageSet, missing: int, measured: Calibration) -> StageForecast:
    pretrain = settings.backbone.pretrain
    assert pretrain is not None, "a backbone of given weights is never missing"
    assert measured.whole_node is not None, "measured where it is missing"
    speed, epochs = measured.whole_node, pretrain.epochs
    steps = epochs * (source.num_images("train") // pretrain.batch_size)
    decoding_s = missing * measured.decode_s[source.name] / measured.num_cpus
    seconds = measured.connect_s + decoding_s + speed.process_s + speed.start_s + steps / speed.steps_per_s
    return StageForecast("backbone", seconds, f"{epochs} epochs of pre-training, {steps} steps")


def _images_without_features(
    settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet], backbone: Backbone | None
) -> dict[str, int]:
    """Count the images whose features are missing, by image set; a missing selection asks for all of its sets."""
    if backbone is None:
        return {each.name: each.num_images("train") for each in (source, *targets.values())}
    features = StudyFeatures(settings, source, targets, backbone)
    found = {}
    for name, image_set in {SOURCE: source, **targets}.items():
        request = features.request(name)
        shards = request.missing_shards(features.folder)
        found[image_set.name] = sum(request.shard_rows(shard).num_rows for shard in shards)
    return found


def _features(
    source: ImageSet, targets: Mapping[str, ImageSet], num_images: Mapping[str, int], measured: Calibration
) -> StageForecast:
    total = sum(num_images.values())
    if not total:
        return StageForecast("features", 0.0, "")
    speed = next(iter(measured.speeds.values()))
    decoding_s = sum(count * measured.decode_s[name] for name, count in num_images.items()) / measured.num_cpus
    forward_s = total / (speed.scored_per_s * measured.resources.num_concurrent)
    seconds = PIPELINE_START_S + speed.process_s + decoding_s + forward_s
    return StageForecast("features", seconds, f"{total:,} images")


def _choosing(settings: StudySettings, num_selections: int) -> Iterator[StageForecast]:
    work = f"{num_selections} selections"
    if settings.selection.unit == "cluster":
        yield StageForecast("clusters", None, f"{settings.selection.num_clusters:,} clusters")
    seconds = None if settings.selection.unit == "image" else num_selections * SELECTION_S
    yield StageForecast("selection", seconds, work)
    if settings.audit.enabled:
        yield StageForecast("audit", None, "every source image that is reused against the test images")


def _image_cache(
    settings: StudySettings,
    source: ImageSet,
    targets: Mapping[str, ImageSet],
    measured: Calibration,
    *,
    reuses: bool,
) -> tuple[StageForecast, int]:
    size = find_architecture(settings.backbone.architecture_name).preprocessing.resize_size
    seconds, total = 0.0, 0
    for name, target in targets.items():
        entries = [split_entry(target, split, size, layout) for split, layout in TRIALS_READ]
        missing = missing_entries(entries, settings.cache / "images")
        count = sum(entry.table.num_rows for entry in missing)
        total += count
        seconds += count * measured.decode_s[name] / measured.num_cpus
    if reuses and any(METHODS[method].selector is not None for method in settings.methods):
        count = round(_share_reused(settings, source, len(targets)) * source.num_images("train"))
        total += count
        seconds += count * measured.decode_s[source.name] / measured.num_cpus
    return StageForecast("image cache", seconds, f"{total:,} images" if total else ""), total


def _share_reused(settings: StudySettings, source: ImageSet, num_targets: int) -> float:
    """Estimate which share of the source is in any selection, as if each chose its groups by chance."""
    available = {
        "class": source.num_classes,
        "cluster": settings.selection.num_clusters,
        "image": source.num_images("train"),
    }[settings.selection.unit]
    top_k = max(settings.grid.top_k or (settings.selection.top_k,))
    num_selections = num_targets * sum(METHODS[method].selector is not None for method in settings.methods)
    return float(1 - (1 - min(1.0, top_k / available)) ** num_selections)


def _relationships(
    settings: StudySettings, targets: Mapping[str, ImageSet], measured: Calibration
) -> Iterator[StageForecast]:
    if not any(find_objective(METHODS[method].objective).uses_relationship for method in settings.methods):
        return
    speed = next(iter(measured.speeds.values()))
    num_images = sum(target.num_images("train") for target in targets.values())
    seconds = num_images / (speed.scored_per_s * speed.num_side_by_side)
    if settings.training.relationship == "calibrated":
        seconds += REGRESSION_S_PER_CLASS * sum(target.num_classes for target in targets.values())
    yield StageForecast("relationships", seconds + speed.process_s, f"{len(targets)} targets")
