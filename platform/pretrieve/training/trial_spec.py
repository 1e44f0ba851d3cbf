"""A trial as data: what decides its result (the spec and its key) and where its inputs lie (the task)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pretrieve.data.image_set import Metric
from pretrieve.settings_model import SettingsModel
from pretrieve.training.settings import Hyperparameters, TrainingSettings

PROTOCOL_VERSION = 2
"""Part of every trial's key; raise it when a change of the code changes results."""


class TrialSpec(SettingsModel):
    """One configuration trained once.

    Attributes:
      kind: `trial` trains on train and scores val; `refit` trains on train + val and scores test.
      target: name of the target.
      method: name of the method.
      objective: name of the objective.
      hyperparameters: the grid point.
      seed: decides heads, order, crops and flips.
      key: hash of everything that decides the result, the data included.
    """

    kind: Literal["trial", "refit"]
    target: str
    method: str
    objective: str
    hyperparameters: Hyperparameters
    seed: int
    key: str

    def describe(self) -> str:
        """Name the trial for people."""
        name = self.hyperparameters.describe()
        return f"refit, seed {self.seed}: {name}" if self.kind == "refit" else name


class TrialTask(SettingsModel):
    """A spec with everything that a worker needs to run it.

    Attributes:
      spec: what to run.
      architecture_name: of the backbone.
      weights_path: of the backbone.
      backbone_identity: of the backbone.
      num_target_classes: K of the target.
      num_source_classes: K of the source's head, for Co-Tuning of the pre-training; 0 for an objective without one.
      training: the protocol shared by all trials.
      metric: how the evaluation split is scored.
      train: image-cache entries to train on.
      evaluate: image-cache entries to score.
      source: image-cache entries of the selected groups.
      spool_path: where the trial tells its metrics.
      checkpoint_path: where its state between epochs lies.
      weights_out: where a refit leaves its final weights; None for a trial.
      num_threads: of torch on a CPU.
      num_workers: processes that share each batch, each with these threads and a GPU share of its own.
      num_parts: parts of a worker's batch that pass through the network one after the other.
      relationship_path: for Co-Tuning, the (K_target, K_source) relationship of categories.
      image_scratch: folder on each node's own disk that the images are copied to first; None reads them where they are.
      max_silence_s: how long it may take no step before it counts as hung.
      provenance: where its data come from, by the name of an MLflow parameter.
    """

    spec: TrialSpec
    architecture_name: str
    weights_path: Path
    backbone_identity: str
    num_target_classes: int
    num_source_classes: int
    training: TrainingSettings
    metric: Metric
    train: tuple[Path, ...]
    evaluate: tuple[Path, ...]
    source: tuple[Path, ...]
    spool_path: Path
    checkpoint_path: Path
    weights_out: Path | None
    num_threads: int
    num_workers: int = 1
    num_parts: int = 1
    relationship_path: Path | None = None
    image_scratch: Path | None = None
    max_silence_s: float = 1800.0
    provenance: dict[str, str | float | int]

    def parameters(self) -> dict[str, Any]:
        """Return the whole configuration, flat, as MLflow parameters."""
        values: dict[str, Any] = {
            **self.provenance,
            "target": self.spec.target,
            "method": self.spec.method,
            "objective": self.spec.objective,
            "seed": self.spec.seed,
            "metric": self.metric,
            "backbone": self.architecture_name,
            "backbone_identity": self.backbone_identity,
            "num_target_classes": self.num_target_classes,
            "num_source_groups": len(self.source),
        }
        values |= {k: v for k, v in self.spec.hyperparameters.model_dump().items() if v is not None}
        training = self.training.model_dump()
        augmentation = training.pop("augmentation")
        values |= {f"training.{name}": value for name, value in training.items()}
        return values | {f"augmentation.{name}": value for name, value in augmentation.items()}
