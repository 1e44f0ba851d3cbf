"""Stage: the study's backbone, from a file, from its publisher, or pre-trained on the source; kept by key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ray
import torch

from pretrieve.atomic_files import read_json, write_json
from pretrieve.backbones import Architecture, Backbone, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.backbone import StateDict, read_weights
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import BackboneError
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import content_key
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.settings import BackboneSettings, StudySettings
from pretrieve.study.source_units import ClassUnits
from pretrieve.study.stage_clock import StageClock
from pretrieve.training.loop import EpochReport
from pretrieve.training.pretraining import PretrainingSettings, pretrain
from pretrieve.training.trial_spec import PROTOCOL_VERSION

POLL_INTERVAL_S = 0.5


def make_backbone(settings: StudySettings, source: ImageSet, cluster: LazyCluster, clock: StageClock) -> Backbone:
    """Return the study's backbone, pre-trained on its source where the settings say so and the cache has none.

    Raises:
      BackboneError: its weights cannot be had or do not fit.
    """
    cache = settings.cache / "backbones"
    if settings.backbone.pretrain is None:
        with clock.stage("backbone", total=1) as progressed:
            backbone = backbone_from_weights(settings.backbone, cache)
            progressed(1, 1)
        return backbone
    key = pretrained_key(settings.backbone, source.fingerprints["train"], settings.seed)
    epochs = settings.backbone.pretrain.epochs
    found = find_pretrained(settings.backbone, key, cache)
    with clock.stage("backbone", total=epochs, done=epochs if found else 0) as progressed:
        if found is not None:
            return found
        cluster.connect()
        size = find_architecture(settings.backbone.architecture_name).preprocessing.resize_size
        entries = ClassUnits(source, "classes").entries(range(source.num_classes), size)
        images = settings.cache / "images"
        build_entries(missing_entries(entries, images), images, on_progress=lambda done, total: None)
        return pretrain_on_cluster(
            settings.backbone,
            [images / entry.key for entry in entries],
            num_classes=source.num_classes,
            seed=settings.seed,
            key=key,
            cache=cache,
            on_epoch=progressed,
        )


def backbone_from_weights(settings: BackboneSettings, cache: Path) -> Backbone:
    """Take the weights of a file, or those that the network's publisher serves.

    Raises:
      BackboneError: the weights cannot be had or do not fit.
    """
    architecture = find_architecture(settings.architecture_name)
    if settings.weights is not None:
        state, origin = read_weights(settings.weights), str(settings.weights)
    else:
        assert architecture.published_weights is not None, "validated with the settings"
        state, origin = _download(architecture), f"{architecture.name}'s publisher"
    return keep_backbone(architecture, parts_of_checkpoint(architecture, state, origin=origin), cache)


def _download(architecture: Architecture) -> StateDict:
    assert architecture.published_weights is not None, "asked only of architectures that have them"
    try:
        return architecture.published_weights()
    except OSError as error:
        raise BackboneError(
            f"the published weights of {architecture.name} must be reachable, but: {error}; download them elsewhere "
            "and give the file as backbone.weights"
        ) from error


def pretrained_key(settings: BackboneSettings, source_fingerprint: str, seed: int) -> str:
    """Identify a pre-training by everything that decides its weights."""
    assert settings.pretrain is not None, "asked only of studies that pre-train"
    architecture = find_architecture(settings.architecture_name)
    return content_key(
        kind="pretrained with its classifier",
        version=PROTOCOL_VERSION,
        architecture=architecture.name,
        architecture_version=architecture.version,
        preprocessing=architecture.preprocessing.to_dict(),
        source=source_fingerprint,
        settings=settings.pretrain.model_dump(mode="json"),
        seed=seed,
    )


def find_pretrained(settings: BackboneSettings, key: str, cache: Path) -> Backbone | None:
    """Return the backbone of an earlier pre-training; None where there is none."""
    card = cache / "pretrained" / f"{key}.json"
    if not card.exists():
        return None
    identity = read_json(card)["identity"]
    return Backbone(settings.architecture_name, cache / identity / "weights.pt", identity)


def pretrain_on_cluster(
    settings: BackboneSettings,
    images: list[Path],
    *,
    num_classes: int,
    seed: int,
    key: str,
    cache: Path,
    on_epoch: Callable[[int, int], None],
) -> Backbone:
    """Pre-train the backbone on the source in one Ray task that takes a node's CPUs, or a GPU.

    Args:
      settings: architecture and pre-training settings.
      images: image-cache entries of the source.
      num_classes: K of the source.
      seed: decides first weights, order and crops.
      key: see `pretrained_key`.
      cache: folder of backbones.
      on_epoch: called with (epochs done, epochs in all).

    Raises:
      DivergedError: the loss was not finite.
    """
    assert settings.pretrain is not None, "asked only of studies that pre-train"
    num_cpus, num_gpus = whole_node()
    log = cache / "pretrained" / f"{key}.epochs.jsonl"
    log.unlink(missing_ok=True)
    run = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_pretrain)
    pending = run.remote(settings.architecture_name, settings.pretrain, images, num_classes, seed, num_cpus, cache, log)
    while not ray.wait([pending], timeout=POLL_INTERVAL_S)[0]:
        on_epoch(_count_lines(log), settings.pretrain.epochs)
    with causes_of_task_errors():
        identity = ray.get(pending)
    on_epoch(settings.pretrain.epochs, settings.pretrain.epochs)
    write_json(cache / "pretrained" / f"{key}.json", {"identity": identity})
    return Backbone(settings.architecture_name, cache / identity / "weights.pt", identity)


def _count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _pretrain(
    name: str,
    settings: PretrainingSettings,
    folders: list[Path],
    num_classes: int,
    seed: int,
    num_threads: int,
    cache: Path,
    log: Path,
) -> str:
    torch.set_num_threads(num_threads)
    architecture = find_architecture(name)

    def write(report: EpochReport) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": report.epoch, "loss": report.loss_target}) + "\n")

    parts = pretrain(
        architecture,
        CachedImages(folders),
        num_classes=num_classes,
        settings=settings,
        seed=seed,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        callbacks=[write],
    )
    return keep_backbone(architecture, parts, cache).identity
