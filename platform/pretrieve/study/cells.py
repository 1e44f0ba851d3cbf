"""The plan of a study: a cell for each target and method, its trials, and the refits of its best configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from pretrieve.keys import content_key, derived_seed
from pretrieve.search.methods import METHODS
from pretrieve.study.materials import Materials, ReusedImages
from pretrieve.study.settings import StudySettings
from pretrieve.tracking.ledger import FinishedTrial, Ledger
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import PROTOCOL_VERSION, TrialSpec, TrialTask


@dataclass(frozen=True)
class Cell:
    """One (target, method) pair with its trials.

    Attributes:
      target: name of the target.
      method: name of the method.
      trials: one task for each grid point, in the order of the grid.
    """

    target: str
    method: str
    trials: tuple[TrialTask, ...]


class Planner:
    """Makes the tasks of a study.

    Args:
      settings: the study.
      materials: what the trials are made of.
      ledger: says where the trial of a key tells its metrics.
    """

    def __init__(self, settings: StudySettings, materials: Materials, ledger: Ledger) -> None:
        self._settings = settings
        self._materials = materials
        self._ledger = ledger

    def cells(self) -> list[Cell]:
        """List all cells with their trials."""
        return [
            Cell(target, method, tuple(self._trials(target, method)))
            for target in self._materials.targets
            for method in self._settings.methods
        ]

    def _trials(self, target: str, method: str) -> list[TrialTask]:
        points = self._settings.grid.points(uses_source=METHODS[method].selector is not None)
        return [self._task("trial", target, method, point, self._settings.seed) for point in points]

    def refits(self, cell: Cell, best: Hyperparameters) -> list[TrialTask]:
        """List the refits of a cell's best configuration, one a seed."""
        seeds = [
            derived_seed(self._settings.seed, "refit", number) % 2**31
            for number in range(self._settings.refit.num_seeds)
        ]
        return [self._task("refit", cell.target, cell.method, best, seed) for seed in seeds]

    def _task(
        self, kind: Literal["trial", "refit"], target: str, method: str, point: Hyperparameters, seed: int
    ) -> TrialTask:
        materials, settings = self._materials, self._settings
        reused = materials.reused(target, method)
        train, evaluate = (("train",), "val") if kind == "trial" else (("train", "val"), "test")
        key = self._key(kind, target, method, point, seed, train, evaluate)
        spec = TrialSpec(
            kind=kind,
            target=target,
            method=method,
            objective=METHODS[method].objective,
            hyperparameters=point,
            seed=seed,
            key=key,
        )
        return TrialTask(
            spec=spec,
            architecture_name=materials.backbone.architecture_name,
            weights_path=materials.backbone.weights_path,
            backbone_identity=materials.backbone.identity,
            num_target_classes=materials.targets[target].num_classes,
            num_source_classes=materials.source.num_classes if reused else 0,
            training=settings.training,
            metric=materials.targets[target].metric,
            train=tuple(materials.split_folder(target, split) for split in train),
            evaluate=(materials.split_folder(target, evaluate),),
            source=reused.folders if reused else (),
            spool_path=self._ledger.spool_path(key),
            checkpoint_path=settings.folder / "checkpoints" / f"{key}.pt",
            weights_out=settings.folder / "refits" / f"{key}.pt" if kind == "refit" else None,
            num_threads=settings.compute.cpus_per_trial,
            provenance=self._provenance(target, train, evaluate, reused),
        )

    def _provenance(
        self, target: str, train: tuple[str, ...], evaluate: str, reused: ReusedImages | None
    ) -> dict[str, str | float | int]:
        """Tell, for people, where the trial's data come from; the key holds it already."""
        image_set = self._materials.targets[target]
        told: dict[str, str | float | int] = {
            "data.train": "+".join(train),
            "data.train_fingerprint": "+".join(image_set.fingerprints[split] for split in train),
            "data.evaluate": evaluate,
            "data.evaluate_fingerprint": image_set.fingerprints[evaluate],
        }
        if reused:
            told |= {f"selection.{name}": value for name, value in asdict(self._settings.selection.core).items()}
            told |= {
                "selection.unit": self._settings.selection.unit,
                "selection.num_selected": reused.num_units,
                "data.source": self._materials.source.name,
                "data.source_fingerprint": self._materials.source.fingerprints["train"],
            }
        return told

    def _key(
        self,
        kind: str,
        target: str,
        method: str,
        point: Hyperparameters,
        seed: int,
        train: tuple[str, ...],
        evaluate: str,
    ) -> str:
        materials = self._materials
        image_set = materials.targets[target]
        reused = materials.reused(target, method)
        return content_key(
            protocol=PROTOCOL_VERSION,
            kind=kind,
            target=target,
            method=method,
            objective=METHODS[method].objective,
            hyperparameters=point.model_dump(),
            training=self._settings.training.model_dump(mode="json"),
            seed=seed,
            metric=image_set.metric,
            backbone=materials.backbone.identity,
            train=[image_set.fingerprints[split] for split in train],
            evaluate=image_set.fingerprints[evaluate],
            reused=reused.identity if reused else None,
        )


def best_trial(cell: Cell, finished: Mapping[str, FinishedTrial]) -> TrialTask | None:
    """Choose the configuration with the best validation score; the first of the grid where scores are equal.

    Returns:
      Its trial; None where no trial of the cell finished with a score.
    """
    scored = [(task, finished[task.spec.key].score) for task in cell.trials if task.spec.key in finished]
    candidates = [(task, score) for task, score in scored if score is not None]
    return max(candidates, key=lambda pair: pair[1])[0] if candidates else None


def interleaved(cells: list[Cell]) -> list[TrialTask]:
    """Order the trials in turns, one of each cell, so that a first table exists early."""
    longest = max((len(cell.trials) for cell in cells), default=0)
    return [cell.trials[turn] for turn in range(longest) for cell in cells if turn < len(cell.trials)]
