"""Stages: the network that is trained, and the one whose features select; from a file, a publisher, or pre-trained."""

from __future__ import annotations

from pathlib import Path

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.backbones import Backbone, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.state_dicts import read_weights
from pretrieve.errors import BackboneError, UserError
from pretrieve.execution.pretraining_task import PretrainingTask
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.entries import CacheEntry
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.backbone_settings import BackboneSettings
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.source_units import ClassUnits
from pretrieve.training.pretraining import PretrainingSpec
from pretrieve.training.trial_spec import PROTOCOL_VERSION

BACKBONES = "backbones"
PRETRAINED = "pretrained"


class BackboneStage(Stage[Backbone]):
    """Returns the pre-trained network that the trials train, whose weights are in the store."""

    name = "backbone"
    place = 20
    is_shared = True

    def settings(self, context: Context) -> BackboneSettings:
        """Return the settings of the stage's network."""
        return context.settings.backbone

    def load(self, context: Context) -> Backbone | None:
        """Read the weights from a file or their publisher, or find those of an earlier pre-training.

        Raises:
          BackboneError: the weights are unreachable, do not fit, or are damaged and cannot be trained again.
          UserError: Co-Tuning needs a classifier, and the weights hold none.
        """
        found = _find(context, self.settings(context))
        relating = context.settings.relating
        if found is not None and relating and found.load_classifier() is None:
            raise UserError(
                f"the method {relating[0]!r} needs the classifier that the backbone was pre-trained with, but the "
                f"weights of {found.architecture_name} hold none; give weights that do, or leave the method out"
            )
        return found

    def make(self, context: Context) -> None:
        """Pre-train the network on the study's source, in one Ray task that uses all CPUs of a node, or one GPU.

        Raises:
          DivergedError: the loss was not finite.
          BackboneError: an earlier run trained other weights under the same key.
        """
        settings = self.settings(context)
        pretrain = settings.pretrain
        assert pretrain is not None, "weights of a file are always found"
        with context.clock.stage(self.name, total=pretrain.epochs) as progressed:
            context.cluster.connect()
            images = context.store.root / "images"
            entries = _source_entries(context, settings)
            build_entries(missing_entries(entries, images), images, on_progress=lambda done, total: None)
            card, num_classes = _card_path(context, settings), context.get(ImageSetsStage).source.num_classes
            task = PretrainingTask(
                PretrainingSpec(num_classes=num_classes, settings=pretrain, seed=context.settings.shared_seed),
                settings.architecture_name,
                images=tuple(images / entry.key for entry in entries),
                backbones=context.store.root / BACKBONES,
                progress_path=card.with_suffix(".epochs.jsonl"),
            )
            identity, device = task.run_on_cluster(progressed)
            if is_kept(card) and read_sealed_json(card)["identity"] != identity:
                raise BackboneError(
                    f"weights that are pre-trained again must be those that were lost, but on this machine they come "
                    f"out as {identity}, not as {card} says. The study's trials were made with the others. Put the "
                    f"lost file back, or remove {card} and give the study another name to start again"
                )
            for path in (card.parents[1] / identity / card.name, card):  # either copy is enough to find the weights
                write_sealed_json(path, {"identity": identity, "device": device})

    def num_pieces(self, context: Context) -> int:
        pretrain = self.settings(context).pretrain
        return 1 if pretrain is None else pretrain.epochs

    def artifacts(self, context: Context) -> list[Path]:
        found, settings = context.find(type(self)), self.settings(context)
        weights = [] if found is None else [found.weights_path]
        return weights if settings.pretrain is None else [_card_path(context, settings), *weights]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        settings = self.settings(context)
        pretrain = settings.pretrain
        if pretrain is None or context.find(type(self)) is not None:
            return None
        source, speed = context.get(ImageSetsStage).source, measured.whole_node[self.name]
        missing = missing_entries(_source_entries(context, settings), context.store.root / "images")
        num_images = sum(entry.table.num_rows for entry in missing)
        steps = pretrain.epochs * (source.num_images("train") // pretrain.batch_size)
        decoding_s = measured.decoding_s({source.name: num_images})
        seconds = decoding_s + speed.process_s + speed.start_s + steps / speed.steps_per_s
        work = f"{pretrain.epochs} epochs of pre-training, {steps} steps"
        disk_bytes = sum(3 * entry.size**2 * entry.table.num_rows for entry in missing)
        return StageForecast(self.name, seconds, work, disk_bytes=disk_bytes)


class SelectionBackboneStage(BackboneStage):
    """Returns the network whose features select: that of `selection.backbone`, or the one that is trained."""

    name = "selection backbone"
    place = 25

    def settings(self, context: Context) -> BackboneSettings:
        return context.settings.selection_backbone

    def applies(self, context: Context) -> bool:
        return bool(context.settings.selecting) and self._is_another(context)

    def load(self, context: Context) -> Backbone | None:
        """Return the network as `BackboneStage` does; it needs no classifier."""
        return _find(context, self.settings(context)) if self._is_another(context) else context.get(BackboneStage)

    def num_pieces(self, context: Context) -> int:
        return super().num_pieces(context) if self._is_another(context) else 0

    def _is_another(self, context: Context) -> bool:
        return self.settings(context) != context.settings.backbone


def _find(context: Context, settings: BackboneSettings) -> Backbone | None:
    """Return the network with its weights; None where it is yet to be pre-trained."""
    if settings.pretrain is not None:
        return _find_pretrained(context, settings)
    return backbone_from_weights(settings, context.store.root / BACKBONES)


def backbone_from_weights(settings: BackboneSettings, folder: Path) -> Backbone:
    """Read the weights from a file, or from the network's publisher, and keep a copy of them in `folder`.

    Raises:
      BackboneError: the weights are unreachable or do not fit.
    """
    architecture = find_architecture(settings.architecture_name)
    if settings.weights is not None:
        state, origin = read_weights(settings.weights), str(settings.weights)
    else:
        assert architecture.published_weights is not None, "validated with the settings"
        origin = f"{architecture.name}'s publisher"
        try:
            state = architecture.published_weights()
        except OSError as error:
            raise BackboneError(
                f"the published weights of {architecture.name} must be reachable, but: {error}; download them "
                "elsewhere and give the file as backbone.weights"
            ) from error
    return keep_backbone(architecture, parts_of_checkpoint(architecture, state, origin=origin), folder)


def pretrained_key(settings: BackboneSettings, source_fingerprint: str, seed: int) -> str:
    """Hash everything that decides the weights of a pre-training."""
    assert settings.pretrain is not None, "asked only of studies that pre-train"
    architecture = find_architecture(settings.architecture_name)
    return content_key(
        kind="pretrained with its classifier",
        version=PROTOCOL_VERSION,
        architecture=architecture.name,
        architecture_version=architecture.version,
        preprocessing=architecture.preprocessing.to_dict(),
        source=source_fingerprint,
        settings=settings.pretrain.model_dump(mode="json", exclude_defaults=True),
        seed=seed,
    )


def _card_path(context: Context, settings: BackboneSettings) -> Path:
    source = context.get(ImageSetsStage).source.fingerprints["train"]
    key = pretrained_key(settings, source, context.settings.shared_seed)
    return context.store.path(BACKBONES, f"{PRETRAINED}/{key}.json")


def _source_entries(context: Context, settings: BackboneSettings) -> list[CacheEntry]:
    source = context.get(ImageSetsStage).source
    size = find_architecture(settings.architecture_name).preprocessing.resize_size
    return ClassUnits(source, "classes").entries(range(source.num_classes), size)


def _find_pretrained(context: Context, settings: BackboneSettings) -> Backbone | None:
    """Return the backbone of an earlier pre-training; None where there is none, or one to be trained again."""
    card = _card_path(context, settings)
    copies = [path for path in (card, *card.parents[1].glob(f"*/{card.name}")) if is_kept(path)]
    if not copies:
        return None
    made = read_sealed_json(copies[0])
    weights = context.store.path(BACKBONES, f"{made['identity']}/weights.pt")
    if is_kept(weights):
        return Backbone(settings.architecture_name, weights, made["identity"])
    if made["device"] != "cpu":
        raise BackboneError(
            f"weights that a GPU pre-trained must stay in the store, but {weights} is gone or damaged, and a GPU would "
            f"not train the same ones again. New trials could not be compared with those so far. Put the file back, "
            f"or remove {card} and give the study another name to start again"
        )
    return None
