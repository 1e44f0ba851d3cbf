"""Makes the tasks of a study's trials and refits, each under its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pretrieve.artifacts.keys import content_key, derived_seed
from pretrieve.artifacts.sealed_files import read_sealed_array
from pretrieve.components import HEAD_STARTS, METRICS, OBJECTIVES, OPTIMIZERS, SCHEDULES
from pretrieve.components.hyperparameters import TOP_K
from pretrieve.data.image_set import ImageSet
from pretrieve.execution.kept_heads import FeatureFiles
from pretrieve.execution.trial_task import PredictionFiles, TrainingFiles, TrialTask
from pretrieve.methods import Method
from pretrieve.records.predictions import predictions_path
from pretrieve.search.grid import GridSettings
from pretrieve.stages.features import SOURCE
from pretrieve.stages.scored_images import prediction_bytes, scored_images_path
from pretrieve.stages.study_inputs import ReusedImages, StudyInputs
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import PROTOCOL_VERSION, TrialSpec

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

Kind = Literal["trial", "refit"]

HEADS = "heads"

SPLITS: dict[Kind, tuple[tuple[str, ...], str]] = {"trial": (("train",), "val"), "refit": (("train", "val"), "test")}
"""The splits that a trial and a refit train on, and the split that they score; each fold has them for its own."""


@dataclass(frozen=True)
class Cell:
    """One (target, method) pair with its trials.

    Attributes:
      trials: one task for each grid point, in the grid's order; proposed points stand in the order of the proposals.
      num_unknown: trials to come whose points are not known yet.
    """

    target: str
    method: str
    trials: tuple[TrialTask, ...]
    num_unknown: int = 0

    @property
    def num_planned(self) -> int:
        """How many trials the cell will have."""
        return len(self.trials) + self.num_unknown


class TrialMaker:
    """Makes the tasks of a study's trials and refits.

    Args:
      inputs: of the refits, and of trials that score a validation split.
      folds: of each fold, where trials are scored by folds.
      spool_path: maps the key of a trial to the file that its process writes its metrics to.
    """

    def __init__(
        self,
        settings: StudySettings,
        inputs: StudyInputs,
        spool_path: Callable[[str], Path],
        folds: Sequence[StudyInputs] = (),
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._folds = tuple(folds)
        self._cells: dict[tuple[str, str, str], Cell] = {}
        self._spool_path = spool_path

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets, in the study's order."""
        return tuple(self._inputs.targets)

    def cells(self) -> list[Cell]:
        return [self.cell(*pair, self._settings.grid) for pair in product(self.targets, self._settings.method_names)]

    def cell(self, target: str, method: str, grid: GridSettings) -> Cell:
        """Return a cell with the trials of a grid; the same grid is expanded once, as it may have thousands."""
        asked = (target, method, grid.model_dump_json())
        if asked not in self._cells:
            tasks: dict[str, TrialTask] = {}
            for point in grid.points(self._settings.method(method)):
                task = self.trial(target, method, point)
                # Two values of top_k select the same images where a list of groups is shorter than both.
                tasks.setdefault(task.spec.key, task)
            self._cells[asked] = Cell(target, method, tuple(tasks.values()))
        return self._cells[asked]

    def trial(self, target: str, method: str, point: Hyperparameters) -> TrialTask:
        return self._task("trial", target, method, point, self._settings.seed)

    def examples(self) -> list[TrialTask]:
        """Make one trial of each cell; the others of a cell differ only in their hyperparameters."""
        settings = self._settings
        firsts = {name: settings.grid.points(settings.method(name))[0] for name in settings.method_names}
        return [self.trial(target, method, point) for target, (method, point) in product(self.targets, firsts.items())]

    def refits_longer_by(self) -> float:
        """Return the images of a refit divided by those of a trial; the largest value of any target."""
        if isinstance(number := self._settings.folds, int):
            return 1 / (number - 1)  # a trial learns each image once for each of the other folds
        sets = self._inputs.targets.values()
        return max((each.num_images("train") + each.num_images("val")) / each.num_images("train") for each in sets)

    def refit_bytes(self) -> int:
        """Return about how many bytes a refit leaves: its weights, about those of the backbone, and its predictions."""
        largest = max(map(prediction_bytes, self._inputs.targets.values()))
        return self._inputs.backbone.weights_path.stat().st_size + largest

    def refits(self, cell: Cell, best: Hyperparameters, *, with_leaks: bool = False) -> list[TrialTask]:
        """Make the refits of a cell's best configuration, one for each seed.

        With `with_leaks` they also train on the images that an audit left out; there are none where it left out none.
        Their scores show what the leaks are worth. No model of theirs is registered. A later run of the study that
        keeps its leaks finds these refits done.
        """
        target, method, top_k = cell.target, cell.method, best.get(TOP_K.name)
        reused, whole = (self._inputs.reused(target, method, top_k, with_leaks=leaks) for leaks in (False, True))
        if with_leaks and reused == whole:
            return []
        numbers = range(self._settings.num_refits(method))
        seeds = [derived_seed(self._settings.seed, "refit", n) % 2**31 for n in numbers]
        return [self._task("refit", target, method, best, seed, with_leaks) for seed in seeds]

    def _task(
        self, kind: Kind, target: str, method: str, point: Hyperparameters, seed: int, with_leaks: bool = False
    ) -> TrialTask:
        inputs, settings = self._inputs, self._settings
        reused = inputs.reused(target, method, point.get(TOP_K.name), with_leaks=with_leaks)
        row = settings.method(method)
        objective = row.trained_with
        without_key = TrialSpec(
            kind=kind,
            target=target,
            method=method,
            objective=objective,
            hyperparameters=point,
            seed=seed,
            key="",
            training=settings.training_of(method),
            metric=inputs.targets[target].metric,
            further_metrics=inputs.targets[target].further_metrics,
            num_target_classes=inputs.targets[target].num_classes,
            num_source_classes=self._num_source_classes(target, objective),
            source_head=row.source_head,
        )
        folds = [(each, each.reused(target, method, point.get(TOP_K.name))) for each in self._folds if kind == "trial"]
        data = folds or [(inputs, reused)]
        key = self._key(without_key, data)
        files = [self._files(each, kind, target, row, images) for each, images in data]
        return TrialTask(
            spec=without_key.model_copy(update={"key": key}),
            architecture_name=inputs.backbone.architecture_name,
            weights_path=inputs.backbone.weights_path,
            backbone_identity=inputs.backbone.identity,
            **{name: getattr(files[0], name) for name in TrainingFiles.model_fields},
            folds=tuple(files) if folds else (),
            spool_path=self._spool_path(key),
            checkpoint_path=settings.folder / "checkpoints" / f"{key}.pt",
            weights_out=settings.folder / "refits" / f"{key}.pt" if kind == "refit" else None,
            predictions=self._predictions(target, key) if kind == "refit" else None,
            num_threads=settings.compute.num_cpus,
            num_workers=1 if row.is_fitted else settings.compute.workers_per_trial,
            image_scratch=settings.compute.image_scratch,
            max_silence_s=settings.compute.max_silence_s,
            provenance=self._provenance(without_key, reused),
        )

    def _predictions(self, target: str, key: str) -> PredictionFiles:
        images = scored_images_path(self._settings.cache, self._inputs.targets[target])
        return PredictionFiles(images=images, out=predictions_path(self._settings.folder, key))

    def _files(
        self, inputs: StudyInputs, kind: Kind, target: str, row: Method, reused: ReusedImages | None
    ) -> TrainingFiles:
        train, evaluate = splits_of(kind, inputs.targets[target])
        relates = OBJECTIVES.find(row.trained_with).uses_relationship
        return TrainingFiles(
            train=inputs.images_of(target, train, "whole"),
            evaluate=inputs.images_of(target, (evaluate,), "square"),
            source=reused.folders if reused else (),
            features=self._features(inputs, target, row, kind) if self._settings.reads_features(row.name) else None,
            relationship_path=inputs.relationships[target] if relates else None,
        )

    def _features(self, inputs: StudyInputs, target: str, row: Method, kind: Kind) -> FeatureFiles:
        train, evaluate = splits_of(kind, inputs.targets[target])
        needs_source = row.source_head == "fresh" and OBJECTIVES.find(row.trained_with).uses_source_head
        return FeatureFiles(
            train=inputs.features_of(target, train),
            evaluate=inputs.features_of(target, (evaluate,)),
            source=inputs.features[SOURCE, "train"] if needs_source else None,
            left_out=inputs.units[target].dropped if needs_source else (),
            heads=self._settings.cache / HEADS,
        )

    def _provenance(self, spec: TrialSpec, reused: ReusedImages | None) -> dict[str, str | float | int]:
        """Describe the origin of the trial's data for people; the key covers it already."""
        inputs = self._inputs
        image_set = inputs.targets[spec.target]
        train, evaluate = splits_of(spec.kind, image_set)
        provenance: dict[str, str | float | int] = {
            "data.train": "+".join(train),
            "data.train_fingerprint": "+".join(image_set.fingerprints[split] for split in train),
            "data.evaluate": f"{len(self._folds)} folds" if self._folds and spec.kind == "trial" else evaluate,
            "data.evaluate_fingerprint": image_set.fingerprints.get(evaluate, ""),
        }
        if reused:
            selection, top_k = self._settings.selection, spec.hyperparameters.get(TOP_K.name)
            leaks = "kept" if reused.has_leaks else "left out"
            provenance |= {
                **{f"selection.{name}": value for name, value in asdict(selection.core).items()},
                **({} if top_k is None else {"selection.top_k": top_k}),
                **({} if selection.backbone is None else {"selection.backbone": selection.backbone.architecture_name}),
                "selection.rank_from": selection.rank_from,
                "selection.source_fraction": inputs.units[spec.target].kept_fraction,
                "selection.unit": selection.unit,
                **({"selection.leaks": leaks} if spec.target in inputs.units_with_leaks else {}),
                "selection.num_selected": reused.num_units,
                "data.source": inputs.source.name,
                "data.source_fingerprint": inputs.source.fingerprints["train"],
            }
        return provenance

    def _key(self, spec: TrialSpec, data: Sequence[tuple[StudyInputs, ReusedImages | None]]) -> str:
        """Hash all that decides a trial; `data` are the inputs of its training, or of the training of each fold."""
        inputs = self._inputs
        image_set = inputs.targets[spec.target]
        row = self._settings.method(spec.method)
        num_workers = 1 if row.is_fitted else self._settings.compute.workers_per_trial
        training = TrainingSettings() if row.is_fitted else _read_by(spec, num_workers)
        heads_of_source = self._heads_of_source(spec.target, row)
        further = sorted(spec.further_metrics)
        return content_key(
            protocol=PROTOCOL_VERSION,
            kind=spec.kind,
            target=spec.target,
            method=spec.method,
            objective=OBJECTIVES.identity(spec.objective),
            hyperparameters=self._changed(spec),
            training=training.model_dump(mode="json", exclude_defaults=True),
            seed=spec.seed,
            metric=METRICS.identity(spec.metric),
            # A registered model knows its classes by their names.
            class_names=image_set.class_names,
            backbone=inputs.backbone.identity,
            **(_data(spec, *data[0]) if len(data) == 1 else {"folds": [_data(spec, *each) for each in data]}),
            # A trial on record lacks a metric that was not asked for then; their order decides nothing.
            **({"further_metrics": [METRICS.identity(word) for word in further]} if further else {}),
            **_members_of(spec),
            **({} if spec.source_head == "fresh" else {"source_head": spec.source_head}),
            # A source head starts from the source's features, beside those that are selected.
            **({} if heads_of_source is None else {"heads_of_source": heads_of_source}),
            # Each worker's batch norm sees only its part of a batch.
            **({} if num_workers == 1 else {"num_workers": num_workers}),
        )

    def _heads_of_source(self, target: str, row: Method) -> list[Any] | None:
        """Return what a fresh source head that starts from features depends on."""
        if not self._settings.reads_features(row.name) or row.source_head != "fresh":
            return None
        if not OBJECTIVES.find(row.trained_with).uses_source_head:
            return None
        return [self._inputs.source.fingerprints["train"], *self._inputs.units[target].dropped]

    def _changed(self, spec: TrialSpec) -> dict[str, Any]:
        """Return the hyperparameters that differ from their defaults; for `top_k` the selected images are hashed."""
        searched = self._settings.method(spec.method).hyperparameters
        defaults = {each.read_as: each.default for each in searched}
        values = spec.hyperparameters.values().items()
        return {name: value for name, value in values if name != TOP_K.name and value != defaults.get(name)}

    def _num_source_classes(self, target: str, objective: str) -> int:
        relationship = self._relationship(target, objective)
        if relationship is not None:
            # The classes of the pre-training, of which the study's source may hold a part.
            return int(read_sealed_array(relationship).shape[1])
        return self._inputs.source.num_classes if OBJECTIVES.find(objective).uses_source_head else 0

    def _relationship(self, target: str, objective: str) -> Path | None:
        return self._inputs.relationships[target] if OBJECTIVES.find(objective).uses_relationship else None


def splits_of(kind: Kind, image_set: ImageSet) -> tuple[tuple[str, ...], str]:
    """Return the splits that a trial or a refit trains on, and the one that it scores."""
    train, evaluate = SPLITS[kind]
    return tuple(split for split in train if split in image_set.splits), evaluate


def _data(spec: TrialSpec, inputs: StudyInputs, reused: ReusedImages | None) -> dict[str, Any]:
    """Return what a key holds of the images of one training."""
    image_set = inputs.targets[spec.target]
    train, evaluate = splits_of(spec.kind, image_set)
    found: dict[str, Any] = {
        "train": [image_set.fingerprints[split] for split in train],
        "evaluate": image_set.fingerprints[evaluate],
        "reused": reused.identity if reused else None,
    }
    if OBJECTIVES.find(spec.objective).uses_relationship:
        found["relationship"] = inputs.relationships[spec.target].stem
    return found


def _members_of(spec: TrialSpec) -> dict[str, Any]:
    """Return what a key holds of the head start, unless it is the default, and of a user's optimizer and schedule."""
    training, parts = spec.training, dict[str, Any]()
    is_default = training.head_start == TrainingSettings.model_fields["head_start"].default
    if not OBJECTIVES.find(spec.objective).is_fitted and (not is_default or training.head_start_settings):
        parts["head_start"] = [HEAD_STARTS.identity(training.head_start), training.head_start_settings]
    named = {"optimizer": OPTIMIZERS.identity(training.optimizer), "schedule": SCHEDULES.identity(training.schedule)}
    # The word of a built-in one is among the settings of the training.
    return parts | {name: identity for name, identity in named.items() if not isinstance(identity, str)}


def _read_by(spec: TrialSpec, num_workers: int) -> TrainingSettings:
    """Reset what a trial does not read to its default, so that changing it does not run the trial again."""
    needs, training = OBJECTIVES.find(spec.objective), spec.training
    # The key holds the objective that the first leads to, and the head start with its identity.
    unread = {"source_objective", "head_start", "head_start_settings"}
    if not needs.uses_relationship:
        unread |= {"relationship"}
    if training.steps is not None:
        unread |= {"epochs"}
    if needs.uses_source:
        unread |= {"longer"}
    else:
        unread |= {"gradient_gap", "mix_source"} | (set() if training.longer else {"source_batch_size"})
    if training.mix is None and (training.mix_source is None or not needs.uses_source):
        unread |= {"mix_alpha"}
    if spec.kind == "refit":
        unread |= {"gradient_gap"}
    if training.learns == "head" or (training.batch_norm == "target_only" and not needs.uses_source):
        unread |= {"batch_norm"}
    if num_workers == 1 or training.learns == "head" or training.batch_norm == "frozen":
        unread |= {"synchronised_batch_norm"}
    members = (training.build_optimizer(), training.build_schedule())
    unread |= {"momentum", "decay_at", "decay_factor"} - {name for member in members for name in member.reads}
    plain = TrainingSettings()
    changes: dict[str, Any] = {name: getattr(plain, name) for name in unread}
    if not needs.uses_strong_view:
        strong = {name: getattr(plain.augmentation, name) for name in ("num_ops", "magnitude", "cutout_fraction")}
        changes["augmentation"] = training.augmentation.model_copy(update=strong)
    return training.model_copy(update=changes)
