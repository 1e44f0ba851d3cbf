"""The first half of the walk: image sets → backbone → features → selections → image cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretrieve.backbones import Backbone, find_architecture
from pretrieve.data.image_set import ImageSet
from pretrieve.data.settings import load_source, load_target
from pretrieve.errors import ImageSetError, UserError
from pretrieve.features.class_centroids import class_centroids
from pretrieve.features.extraction import extract_features
from pretrieve.features.shards import FeatureRequest, feature_key
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.store import CachedImages, CacheEntry, read_card
from pretrieve.search.methods import METHODS
from pretrieve.study import backbone_stage
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials, group_entry, split_entry
from pretrieve.study.selection_stage import SelectionRequest, find_selection, select_on_cluster
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock
from pretrieve_selection import Selection


def prepare(settings: StudySettings, cluster: LazyCluster, clock: StageClock) -> Materials:
    """Make, or find in the cache, everything that the trials need.

    Args:
      settings: the study.
      cluster: connected to only when something is missing.
      clock: times the stages and tells of them.

    Returns:
      The materials, every artifact under the key of what it was made from.

    Raises:
      UserError: an image set, the backbone or a setting does not fit; before anything is computed where possible.
    """
    source, targets = _load_image_sets(settings, clock)
    _check_sizes(settings, source, targets)
    backbone = _backbone(settings, source, cluster, clock)
    selections = _selections(settings, source, targets, backbone, cluster, clock)
    materials = Materials(source, targets, backbone, selections, settings.cache / "images")
    _cache_images(materials, cluster, clock)
    return materials


def _load_image_sets(settings: StudySettings, clock: StageClock) -> tuple[ImageSet, dict[str, ImageSet]]:
    cache = settings.cache / "image_sets"
    total = 1 + len(settings.targets)
    with clock.stage("image sets", total=total) as progressed:
        source = load_source(settings.source, cache=cache)
        targets: dict[str, ImageSet] = {}
        for number, target in enumerate(settings.targets, start=1):
            progressed(number, total)
            loaded = load_target(target, seed=settings.seed, cache=cache)
            targets[loaded.name] = loaded
        progressed(total, total)
    return source, targets


def _check_sizes(settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet]) -> None:
    """Refuse what only the sizes of the data show to be wrong, all faults at once."""
    faults = []
    reuses = [method for method in settings.methods if METHODS[method].selector]
    if reuses and settings.selection.top_k > source.num_classes:
        faults.append(
            f"selection.top_k must be at most the source's {source.num_classes} groups, but is "
            f"{settings.selection.top_k}"
        )
    pretrain = settings.backbone.pretrain
    if pretrain is not None and source.num_images("train") < pretrain.batch_size:
        faults.append(
            f"backbone.pretrain.batch_size must be at most the source's {source.num_images('train')} images, but is "
            f"{pretrain.batch_size}"
        )
    for name, target in targets.items():
        if target.num_images("train") < settings.training.batch_size:
            faults.append(
                f"training.batch_size must be at most the training images of every target, but is "
                f"{settings.training.batch_size} and {name!r} has {target.num_images('train')}"
            )
    if faults:
        raise UserError("the study does not fit its data:\n" + "\n".join(f"  - {fault}" for fault in faults))


def _backbone(settings: StudySettings, source: ImageSet, cluster: LazyCluster, clock: StageClock) -> Backbone:
    cache = settings.cache / "backbones"
    if settings.backbone.pretrain is None:
        with clock.stage("backbone", total=1) as progressed:
            backbone = backbone_stage.backbone_from_weights(settings.backbone, cache)
            progressed(1, 1)
        return backbone
    key = backbone_stage.pretrained_key(settings.backbone, source.fingerprints["train"], settings.seed)
    epochs = settings.backbone.pretrain.epochs
    found = backbone_stage.find_pretrained(settings.backbone, key, cache)
    with clock.stage("backbone", total=epochs, done=epochs if found else 0) as progressed:
        if found is not None:
            return found
        cluster.connect()
        size = find_architecture(settings.backbone.name).preprocessing.resize_size
        entries = [group_entry(source, group, size) for group in range(source.num_classes)]
        images = settings.cache / "images"
        build_entries(missing_entries(entries, images), images, on_progress=lambda done, total: None)
        return backbone_stage.pretrain_on_cluster(
            settings.backbone,
            [images / entry.key for entry in entries],
            num_classes=source.num_classes,
            seed=settings.seed,
            key=key,
            cache=cache,
            on_epoch=progressed,
        )


def _selections(
    settings: StudySettings,
    source: ImageSet,
    targets: Mapping[str, ImageSet],
    backbone: Backbone,
    cluster: LazyCluster,
    clock: StageClock,
) -> dict[tuple[str, str], Selection]:
    folder = settings.cache / "selections"
    features = {name: _feature_request(image_set, backbone) for name, image_set in [("", source), *targets.items()]}
    requests = _selection_requests(settings, source, targets, features)
    missing = [request for request in requests.values() if find_selection(request, folder) is None]
    if missing:
        cluster.connect()
        needed = {"": source} | {request.target: targets[request.target] for request in missing}
        centroids = _centroids(settings, {name: (features[name], needed[name]) for name in needed}, backbone, clock)
        with clock.stage("selection", total=len(requests), done=len(requests) - len(missing)) as progressed:
            select_on_cluster(missing, centroids, folder, on_progress=progressed)
    selections = {}
    for cell, request in requests.items():
        selection = find_selection(request, folder)
        assert selection is not None, "it was made just now"
        if not selection.converged:
            clock.notice(
                f"the selection of {cell[1]} for {cell[0]} has not converged after {selection.iterations} iterations; "
                "its ranking may change with more"
            )
        selections[cell] = selection
    return selections


def _feature_request(image_set: ImageSet, backbone: Backbone) -> FeatureRequest:
    # A target is represented by its train split alone: validation images choose the configuration, so they may not
    # choose the source as well.
    key = feature_key(backbone.identity, image_set.fingerprints["train"])
    return FeatureRequest(key, image_set.splits["train"])


def _selection_requests(
    settings: StudySettings,
    source: ImageSet,
    targets: Mapping[str, ImageSet],
    features: Mapping[str, FeatureRequest],
) -> dict[tuple[str, str], SelectionRequest]:
    requests: dict[tuple[str, str], SelectionRequest] = {}
    for target in settings.targets:
        for method in settings.methods:
            selector = METHODS[method].selector
            if selector is not None:
                requests[target.display_name, method] = SelectionRequest(
                    target=target.display_name,
                    selector=selector,
                    settings=settings.selection,
                    seed=settings.seed,
                    source_features=features[""].key,
                    target_features=features[target.display_name].key,
                    source_names=source.class_names,
                    target_names=targets[target.display_name].class_names,
                )
    return requests


def _centroids(
    settings: StudySettings,
    needed: Mapping[str, tuple[FeatureRequest, ImageSet]],
    backbone: Backbone,
    clock: StageClock,
) -> dict[str, NDArray[np.float64]]:
    folder = settings.cache / "features"
    requests = [request for request, _ in needed.values()]
    total = sum(request.num_shards for request in requests)
    missing = sum(len(request.missing_shards(folder)) for request in requests)
    with clock.stage("features", total=total, done=total - missing) as progressed:
        extract_features(requests, backbone, folder, on_progress=progressed)
        centroids = {}
        for request, image_set in needed.values():
            made = class_centroids(
                request,
                folder,
                num_classes=image_set.num_classes,
                feature_dim=backbone.architecture.feature_dim,
            )
            centroids[request.key] = made.means
            for broken in made.broken:
                _notice_broken(broken, clock)
    return centroids


def _cache_images(materials: Materials, cluster: LazyCluster, clock: StageClock) -> None:
    entries = list(_needed_entries(materials))
    missing = missing_entries(entries, materials.images)
    total = sum(entry.table.num_rows for entry in {entry.key: entry for entry in entries}.values())
    absent = sum(entry.table.num_rows for entry in missing)
    with clock.stage("image cache", total=total, done=total - absent) as progressed:
        if missing:
            cluster.connect()
            build_entries(missing, materials.images, on_progress=progressed)
    _report_broken(entries, materials.images, clock)
    _check_what_decoded(materials)


def _needed_entries(materials: Materials) -> list[CacheEntry]:
    size = materials.backbone.architecture.preprocessing.resize_size
    entries = [
        split_entry(target, split, size) for target in materials.targets.values() for split in ("train", "val", "test")
    ]
    groups = {group for selection in materials.selections.values() for group in selection.groups}
    return entries + [group_entry(materials.source, group, size) for group in sorted(groups)]


def _report_broken(entries: list[CacheEntry], folder: Path, clock: StageClock) -> None:
    for entry in entries:
        card = read_card(folder / entry.key)
        assert card is not None, "it was made just now"
        for broken in card.broken:
            _notice_broken(broken, clock)


def _check_what_decoded(materials: Materials) -> None:
    """Refuse splits of which too little is left to train or to score.

    Raises:
      ImageSetError: no image of a split decodes, or none of a class of train.
    """
    for name, target in materials.targets.items():
        for split in ("train", "val", "test"):
            labels = set(CachedImages([materials.split_folder(name, split)]).labels.tolist())
            lost = [class_name for k, class_name in enumerate(target.class_names) if k not in labels]
            if not labels or (split == "train" and lost):
                raise ImageSetError(
                    f"images of {name!r}, split {split!r}, must decode, but "
                    + (f"none of {', '.join(lost[:5])} does" if labels else "none does")
                    + "; see the notes above for the files"
                )


def _notice_broken(broken: str, clock: StageClock) -> None:
    clock.notice(f"left out, because it does not decode: {broken}")
