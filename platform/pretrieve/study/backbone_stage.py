"""Stage: the study's backbone, from a file, from its publisher, or pre-trained on the source; kept by key."""

from __future__ import annotations

from pathlib import Path

from pretrieve.atomic_files import read_json, write_json
from pretrieve.backbones import Architecture, Backbone, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.backbone import StateDict, read_weights
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import BackboneError
from pretrieve.execution.pretraining_task import PretrainingTask
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.keys import content_key
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.settings import BackboneSettings, StudySettings
from pretrieve.study.source_units import ClassUnits
from pretrieve.study.stage_clock import StageClock
from pretrieve.training.pretraining import PretrainingSpec
from pretrieve.training.trial_spec import PROTOCOL_VERSION


def make_backbone(settings: StudySettings, source: ImageSet, cluster: LazyCluster, clock: StageClock) -> Backbone:
    """Return the study's backbone, pre-trained on its source where the settings say so and the cache has none.

    Raises:
      BackboneError: its weights cannot be had or do not fit.
      DivergedError: the loss of the pre-training was not finite.
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
        pretraining = PretrainingTask(
            PretrainingSpec(num_classes=source.num_classes, settings=settings.backbone.pretrain, seed=settings.seed),
            settings.backbone.architecture_name,
            images=tuple(images / entry.key for entry in entries),
            backbones=cache,
            progress_path=cache / "pretrained" / f"{key}.epochs.jsonl",
        )
        identity = pretraining.run_on_cluster(progressed)
        write_json(_card(key, cache), {"identity": identity})
        return Backbone(settings.backbone.architecture_name, cache / identity / "weights.pt", identity)


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
    card = _card(key, cache)
    if not card.exists():
        return None
    identity = read_json(card)["identity"]
    return Backbone(settings.architecture_name, cache / identity / "weights.pt", identity)


def _card(key: str, cache: Path) -> Path:
    return cache / "pretrained" / f"{key}.json"
