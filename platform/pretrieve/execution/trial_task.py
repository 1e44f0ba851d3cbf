"""A trial as a task of the cluster: its inputs, its resources and the files of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pretrieve.artifacts.sealed_files import is_kept, read_sealed_array
from pretrieve.backbones import Backbone
from pretrieve.components import OBJECTIVES
from pretrieve.execution.kept_heads import FeatureFiles, KeptHeads
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.image_cache.cached_images import CachedImages, ImagesAtRows
from pretrieve.image_cache.local_copy import local_copy
from pretrieve.search.tune_config import TRIAL
from pretrieve.settings_model import SettingsModel
from pretrieve.training.fine_tuning import TrialInputs
from pretrieve.training.trial_spec import TrialSpec


class PredictionFiles(SettingsModel):
    """Where the predictions of a refit are kept.

    Attributes:
      images: file of the images that it scores (`data.scored_images`).
      out: file for the class scores.
    """

    images: Path
    out: Path


class TrainingFiles(SettingsModel):
    """The images of one training, and what is made from their labels.

    Attributes:
      train, evaluate: of the image cache, to train on and to score.
      source: image-cache entries of the selected groups.
      features: of these images, for an objective that is fitted to them and for heads that start from them.
      relationship_path: for Co-Tuning, the (K_target, K_source) relationship of categories.
    """

    train: StoredRows
    evaluate: StoredRows
    source: tuple[Path, ...]
    features: FeatureFiles | None = None
    relationship_path: Path | None = None


class TrialTask(TrainingFiles):
    """One trial or refit, with everything that its process needs.

    Attributes:
      folds: of a trial that is scored by folds, the files of the training of each; its own are those of the first.
      until_fold: of a trial in a race: after so many folds its process returns, and the trial waits for those of its
        cell; None: it goes on to its end.
      spool_path: file for its metrics.
      checkpoint_path: file for its state between epochs.
      weights_out: file for the final weights of a refit; None for a trial.
      predictions: files of its class scores on the test images; None for a trial.
      num_threads: of torch on a CPU.
      num_workers: processes that share each batch, each with these threads and its own share of a GPU.
      image_scratch: folder on each node's own disk that the images are copied to first; None reads them in place.
      max_silence_s: seconds without a step after which it counts as hung.
      provenance: where its data come from, by the name of an MLflow parameter.
    """

    spec: TrialSpec
    architecture_name: str
    weights_path: Path
    backbone_identity: str
    folds: tuple[TrainingFiles, ...] = ()
    until_fold: int | None = None
    spool_path: Path
    checkpoint_path: Path
    weights_out: Path | None
    predictions: PredictionFiles | None
    num_threads: int
    num_workers: int = 1
    image_scratch: Path | None = None
    max_silence_s: float = 1800.0
    provenance: dict[str, str | float | int]

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> TrialTask:
        """Read the task from a Tune trial's configuration, which holds it as `model_dump_json` wrote it."""
        return cls.model_validate_json(config[TRIAL])

    @property
    def num_reports(self) -> int:
        """How often it reports: after each fold or epoch."""
        if OBJECTIVES.find(self.spec.objective).is_fitted:
            return len(self.folds) or 1
        return len(self.folds) or self.spec.training.num_epochs

    def of_fold(self, fold: int) -> TrialTask:
        """Return the training of one fold as a task of its own, with its own checkpoint."""
        files = {name: getattr(self.folds[fold], name) for name in TrainingFiles.model_fields}
        checkpoint = self.checkpoint_path.with_name(f"{self.spec.key}.fold-{fold}.pt")
        return self.model_copy(update={**files, "folds": (), "checkpoint_path": checkpoint})

    def held_out_path(self, fold: int) -> Path:
        """Return the file of what the network of a fold predicts; it is kept until the trial ends."""
        return self.of_fold(fold).checkpoint_path.with_suffix(".npz")

    @property
    def num_folds_done(self) -> int:
        """How many folds, from the first one on, have kept what they predict."""
        lost = (number for number in range(len(self.folds)) if not is_kept(self.held_out_path(number)))
        return next(lost, len(self.folds))

    @property
    def is_waiting(self) -> bool:
        """Whether it has done the folds of its round, and the trial has not ended."""
        return self.until_fold is not None and self.num_folds_done >= self.until_fold

    def remove_checkpoints(self) -> None:
        """Remove what a later attempt would go on from: the trial's checkpoint, and what its folds have kept."""
        self.checkpoint_path.unlink(missing_ok=True)
        for number in range(len(self.folds)):
            for path in (self.of_fold(number).checkpoint_path, self.held_out_path(number)):
                path.unlink(missing_ok=True)

    def parameters(self) -> dict[str, Any]:
        """Return the whole configuration as flat MLflow parameters."""
        fields = {"target", "method", "objective", "seed", "metric", "num_target_classes"}
        values: dict[str, Any] = {
            **self.provenance,
            **self.spec.model_dump(include=fields),
            "backbone": self.architecture_name,
            "backbone_identity": self.backbone_identity,
            "num_source_groups": len(self.source),
        }
        if self.spec.further_metrics:
            values["further_metrics"] = ", ".join(self.spec.further_metrics)
        values |= self.spec.hyperparameters.values()
        if OBJECTIVES.find(self.spec.objective).is_fitted:
            return values
        training = self.spec.training.model_dump()
        augmentation = training.pop("augmentation")
        values["head_start"] = training.pop("head_start")
        values |= {f"head_start.{name}": value for name, value in training.pop("head_start_settings").items()}
        for field in ("optimizer_settings", "schedule_settings"):
            values |= {f"training.{field}.{name}": value for name, value in training.pop(field).items()}
        values |= {f"training.{name}": value for name, value in training.items()}
        return values | {f"augmentation.{name}": value for name, value in augmentation.items()}

    def inputs(self, on_copied: Callable[[], None]) -> TrialInputs:
        """Load the backbone and open the images; `on_copied` is called after each piece of a local copy."""

        def images(entries: tuple[Path, ...]) -> CachedImages:
            return CachedImages(local_copy(entries, self.image_scratch, on_copied))

        def at_rows(stored: StoredRows) -> CachedImages | ImagesAtRows:
            return stored.images(local_copy(stored.folders, self.image_scratch, on_copied))

        backbone, spec = self.backbone, self.spec
        related, features = self.relationship_path, self.features
        started: dict[str, Any] = {}
        if features is not None:
            started = {
                "head_start": KeptHeads(spec.training, features.heads),
                "target_examples": features.target_examples(),
                "source_examples": features.source_examples(),
            }
        starts_pretrained = related is not None or spec.source_head == "classifier"
        return TrialInputs(
            architecture=backbone.architecture,
            backbone=backbone.load(),
            target=at_rows(self.train),
            evaluate=at_rows(self.evaluate),
            source=images(self.source) if self.source else None,
            source_classifier=backbone.load_classifier() if starts_pretrained else None,
            relationship=np.array(read_sealed_array(related)) if related else None,
            **started,
        )

    @property
    def backbone(self) -> Backbone:
        return Backbone(self.architecture_name, self.weights_path, self.backbone_identity)
