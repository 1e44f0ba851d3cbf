"""The settings of a whole study; each part's settings live beside their owner."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretrieve.components import HEAD_STARTS, OBJECTIVES, VIEWS
from pretrieve.components.hyperparameters import BUILT_IN, TOP_K, Hyperparameter
from pretrieve.data.folder_tree import names_alike
from pretrieve.data.folds import MAX_FOLDS
from pretrieve.data.group_lists import KNOWN_LISTS
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import UserError, in_words, nearest_word
from pretrieve.execution.compute import ComputeSettings
from pretrieve.methods import Method
from pretrieve.search.grid import GridSettings
from pretrieve.search.settings import SearchSettings
from pretrieve.settings_model import FieldFaultsError, SettingsModel, existing_path, followed_path
from pretrieve.stages.backbone_settings import BackboneSettings as BackboneSettings
from pretrieve.stages.budget import BudgetSettings
from pretrieve.stages.repeat_settings import RepeatSettings
from pretrieve.stages.selection_settings import StudySelectionSettings, row_faults
from pretrieve.study.recipes import DEFAULT_RECIPE, with_recipe
from pretrieve.tracking.address import sqlite_store
from pretrieve.training.learning_layers import fixed_blocks
from pretrieve.training.settings import Learns, TrainingSettings
from pretrieve_selection import SelectionInputError

if TYPE_CHECKING:
    from pretrieve.training.objectives import Objective
    from pretrieve_dashboards.views import View

DEFAULT_STORAGE = Path("pretrieve-runs")

RESERVED_NAMES = ("cache", "default")
"""Of the folder that studies share, and of MLflow's own experiment; in lower case, as some disks and databases are."""

DEFAULT_CONTRASTS = (("uot", "finetune"), ("uot", "finetune_longer"), ("uot", "random"))
"""Reuse, against plain fine-tuning and with as many image passes; and ranking, against a random choice."""


class RefitSettings(SettingsModel):
    """The final training of each cell's best configuration, on train + val: each refit is tested once.

    Attributes:
      num_seeds: refits of a cell in a study of a single repeat; of several repeats, each has one.
    """

    num_seeds: Annotated[int, Field(ge=1)] = 2


class StudyAuditSettings(SettingsModel):
    """The leakage audit; a bare `true` is short for `enabled: true`.

    Attributes:
      enabled: compare the source images that any method reuses, and the target's own training images, with its test
        images, and record the pairs that show the same picture.
      drop_leaks: reuse no source image that shows a test image; implies `enabled`.
    """

    enabled: bool = False
    drop_leaks: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"enabled": value}
        if isinstance(value, Mapping) and value.get("drop_leaks") is True and "enabled" not in value:
            return {**value, "enabled": True}
        return value

    @model_validator(mode="after")
    def _drops_what_it_finds(self) -> StudyAuditSettings:
        if self.drop_leaks and not self.enabled:
            raise ValueError("'drop_leaks: true' needs the audit, but 'enabled' is false; leave 'enabled' out")
        return self


class ReportSettings(SettingsModel):
    """What the report shows beside its own views.

    Attributes:
      views: each the name of a view, as `my_module:MyView`; views of installed packages are shown unnamed.
    """

    views: tuple[str, ...] = ()

    @field_validator("views")
    @classmethod
    def _are_views(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            try:
                VIEWS.find_for_study(word)
            except UserError as fault:
                raise ValueError(str(fault)) from fault
        return words


class StudySettings(SettingsModel):
    """One question: which methods, on which targets, with which backbone and grid.

    Attributes:
      name: of the study, its folder and its MLflow experiment.
      recipe: the protocol that holds wherever the study says nothing else; see `pretrieve recipes`.
      source: the pre-training data; may be left out where no row and no pre-training reads it.
      targets: the data sets to learn.
      backbone: the pre-trained network, which the trials train.
      methods: the rows of the table.
      selection: how groups are ranked and how many are taken (section 3.2).
      audit: whether the images to reuse, and those to train on, are compared with the test images.
      search: how hyperparameters are searched.
      training: the protocol shared by all trials (section 4.1).
      grid: hyperparameters to search (appendix A).
      refit: the final trainings.
      repeats: how often all that a user would draw is drawn anew.
      contrasts: pairs of rows, first minus second, on which the study gives a verdict; None: `uot` minus `finetune`,
        `finetune_longer` and `random`, as far as it has these rows.
      margin: points within which two rows count as equivalent.
      folds: how a configuration is scored: on each of so many folds of the labelled images, by a network that learned
        from the others; or `official`, on the validation split of the target, held out of train where it has none.
      choose: where the configuration of a row is chosen: in `each_repeat`; or in the `first_repeat` alone, which is
        cheaper, as the later ones run no trials, but leaves the choice out of the intervals.
      compute: what a trial may use.
      budget: what the study may cost.
      report: what the report shows.
      seed: decides splits, draws and first weights.
      storage: folder of studies and caches, relative to the working directory; on a cluster, every node must reach it.
      tracking_uri: MLflow's store; None: MLFLOW_TRACKING_URI of the environment, else SQLite in the study's folder.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    recipe: str = DEFAULT_RECIPE
    source: ImageSetSettings | None = None
    targets: Annotated[tuple[ImageSetSettings, ...], Field(min_length=1)]
    backbone: BackboneSettings
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = Field(
        default=("finetune", "random", "greedy_ot", "uot"), validate_default=True
    )
    selection: StudySelectionSettings = StudySelectionSettings()
    audit: StudyAuditSettings = StudyAuditSettings()
    search: SearchSettings = SearchSettings()
    training: TrainingSettings = TrainingSettings()
    grid: GridSettings = GridSettings()
    refit: RefitSettings = RefitSettings()
    repeats: RepeatSettings = RepeatSettings()
    contrasts: tuple[tuple[str, str], ...] | None = None
    margin: Annotated[float, Field(gt=0, le=100)] = 1.0
    folds: Literal["official"] | Annotated[int, Field(ge=2, le=MAX_FOLDS)] = "official"
    choose: Literal["each_repeat", "first_repeat"] = "each_repeat"
    compute: ComputeSettings = ComputeSettings()
    budget: BudgetSettings = BudgetSettings()
    report: ReportSettings = ReportSettings()
    seed: Annotated[int, Field(ge=0)] = 0
    # The default is validated too, so that it becomes absolute: workers have another working directory.
    storage: Annotated[Path, Field(validate_default=True)] = DEFAULT_STORAGE
    # An address may hold a password, and settings are printed.
    tracking_uri: Annotated[str | None, Field(repr=False)] = None

    @model_validator(mode="before")
    @classmethod
    def _takes_its_recipe(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        try:
            return with_recipe(value, value.get("recipe", DEFAULT_RECIPE))
        except UserError as fault:
            raise FieldFaultsError([f"recipe: {fault}"]) from fault

    @field_validator("selection", mode="before")
    @classmethod
    def _reports_every_fault(cls, value: Any, info: ValidationInfo) -> Any:
        """Check the selection's settings one field at a time: built as a whole, some faults would hide others."""
        if not isinstance(value, Mapping):
            return value
        known, resolved, faults = [field.name for field in fields(StudySelectionSettings)], dict(value), []
        for name, given in value.items():
            if name not in known:
                near = nearest_word(str(name), known)
                faults.append(f"{name}: no such field; known here: {', '.join(sorted(known))}.{near}")
                continue
            if name == "backbone":  # settings of its own, which report their faults themselves
                continue
            try:
                StudySelectionSettings(**{name: given})
            except SelectionInputError as error:
                faults.append(str(error).removeprefix("StudySelectionSettings: "))
                continue
            if name in ("label_groups", "expected_groups"):
                resolved[name], wrong = _resolved_lists(name, given, info)
                faults += wrong
        if faults:
            raise FieldFaultsError(faults)
        return resolved

    @field_validator("grid", mode="before")
    @classmethod
    def _knows_its_members(cls, value: Any, info: ValidationInfo) -> Any:
        """Check the values of what the members of the methods read, those of a user's members as well."""
        methods: tuple[Method, ...] = info.data.get("methods", ())
        optimizer = info.data["training"].optimizer if "training" in info.data else "sgd"
        rows = [method.model_copy(update={"optimizer": method.optimizer or optimizer}) for method in methods]
        read = {each for row in rows for each in row.hyperparameters}
        if not isinstance(value, Mapping):
            return value
        return GridSettings.model_validate(value, context={"own": read - set(BUILT_IN)})

    @field_validator("storage")
    @classmethod
    def _is_absolute(cls, storage: Path) -> Path:
        try:
            folder = (storage if storage.exists() else followed_path(storage)).absolute()
        except OSError as error:
            raise ValueError(f"must be the path of a folder, but: {error}; take another folder") from error
        if cut := next((character for character in "?%" if character in str(folder)), None):
            raise ValueError(
                f"must be the path of a folder without ? and %, from which databases read addresses otherwise, but "
                f"{folder} has a {cut}; take another folder"
            )
        return folder

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name.casefold() in RESERVED_NAMES:
            raise ValueError(
                f"must be another name than {' and '.join(RESERVED_NAMES)}, which are a storage's and MLflow's own; "
                f"for example my-{name}"
            )
        return name

    @field_validator("targets", "methods")
    @classmethod
    def _has_no_double(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [value.display_name if isinstance(value, ImageSetSettings) else value.name for value in values]
        doubles = names_alike(names)
        if doubles and len(set(doubles[0])) == 1:
            raise ValueError(f"names must differ, but {', '.join(each[0] for each in doubles)} stands more than once")
        if doubles:
            raise ValueError(
                f"names must differ in more than case, as some disks ignore it, but {' and '.join(doubles[0])} do not"
            )
        return values

    @model_validator(mode="after")
    def _parts_fit(self) -> StudySettings:
        targets = tuple(target.display_name for target in self.targets)
        of_source = [] if self.source else list(self._reads_source())
        of_selection = [f"selection.{fault}" for fault in self.selection.faults_beside(self.methods, targets)]
        of_methods = [f"methods.{place}.{fault}" for place, row in enumerate(self.methods) for fault in row_faults(row)]
        of_methods += [
            f"methods.{place}.selector_settings.top_k: must be left out where grid.top_k is given, but is "
            f"{row.selector_settings[TOP_K.name]}"
            for place, row in enumerate(self.methods)
            if TOP_K.name in row.selector_settings and self.grid.of(TOP_K)
        ]
        num_workers, training = self.compute.workers_per_trial, self.training
        sizes = {"batch_size": training.batch_size, "source_batch_size": training.source_batch_size}
        of_batches = [
            f"training.{name}: must be a multiple of compute.workers_per_trial, {num_workers}, whose workers share "
            f"each batch equally, but is {size}"
            for name, size in sizes.items()
            if size is not None and size % num_workers
        ]
        of_mixing = [
            "training.mix_source: must be left out where a row learns the source without its labels, but is "
            f"{training.mix_source!r}, and {name!r} learns with {self.method(name).trained_with!r}; take training.mix"
            for name in self.method_names
            if training.mix_source and not _may_mix(OBJECTIVES.find(self.method(name).trained_with))
        ]
        of_layers = _faults_of_layers(training.learns, self.backbone)
        of_contrasts = [
            f"contrasts.{place}: must be two different rows of {', '.join(self.method_names)}, but is "
            f"{first!r} and {second!r}"
            for place, (first, second) in enumerate(self.contrasts or ())
            if first == second or not {first, second} <= set(self.method_names)
        ]
        of_refits = [
            f"refit.num_seeds: must be left out where repeats.draws is above 1, as each repeat has one refit, but is "
            f"{self.refit.num_seeds}"
            for _ in range(self.repeats.draws > 1 and self.refit != RefitSettings())
        ]
        found = self.search.faults_beside(num_epochs=self.num_reports, num_workers=num_workers)
        of_search = [f"search.{fault}" for fault in found]
        of_parts = (
            of_source,
            of_methods,
            of_selection,
            of_batches,
            of_mixing,
            of_layers,
            of_refits,
            of_contrasts,
            of_search,
        )
        if faults := next(filter(None, of_parts), None):
            raise FieldFaultsError(faults)
        return self

    def _reads_source(self) -> Iterator[str]:
        """Yield a fault of a study without a source, where something reads it."""
        networks = {"backbone": self.backbone, "selection.backbone": self.selection_backbone}
        readers = [f"{name}.pretrain" for name, network in networks.items() if network.pretrain]
        readers += [f"the row {name!r}" for name in dict.fromkeys((*self.selecting, *self.relating))]
        if readers:
            yield (
                f"source: must be given where {', '.join(dict.fromkeys(readers))} reads it; name its images, such as "
                "source: {folder: /data/imagenet}, or take methods that need none: [linear_probe, finetune]"
            )

    @property
    def largest_top_k(self) -> int:
        """The largest number of units that a trial reuses."""
        return max((top_k for name in self.selecting for top_k in self.top_ks(name)), default=self.selection.top_k)

    def top_ks(self, name: str) -> tuple[int, ...]:
        """Return the numbers of units at which the trials of a row cut its selection."""
        own = self.method(name).selector_settings.get(TOP_K.name)
        return self.grid.of(TOP_K) or (self.selection.top_k if own is None else own,)

    @property
    def selection_backbone(self) -> BackboneSettings:
        """The network whose features select: `selection.backbone`, or the one that is trained."""
        return self.selection.backbone or self.backbone

    @property
    def method_names(self) -> tuple[str, ...]:
        """The names of the rows."""
        return tuple(method.name for method in self.methods)

    @property
    def selecting(self) -> tuple[str, ...]:
        """The names of the rows that reuse a part of the source."""
        return tuple(method.name for method in self.methods if method.selector)

    @property
    def relating(self) -> tuple[str, ...]:
        """The names of the rows whose objective relates the categories of source and target."""
        names = [(name, self.method(name).trained_with) for name in self.method_names]
        return tuple(name for name, objective in names if OBJECTIVES.find(objective).uses_relationship)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What the trials of any row read."""
        return tuple(dict.fromkeys(each for name in self.method_names for each in self.method(name).hyperparameters))

    def views(self) -> list[View]:
        """Create the views that the report shows beside its own: of installed packages, and those of the settings."""
        brought = [word for word in VIEWS.words() if word not in VIEWS.built_in()]
        views: list[View] = [VIEWS.find(word)() for word in dict.fromkeys((*brought, *self.report.views))]
        return [view for view in views if type(view) not in VIEWS.built_in().values()]

    def method(self, name: str) -> Method:
        """Return a row with what the study decides where it is silent: clusters are trained on with pseudo-labels."""
        (row,) = [each for each in self.methods if each.name == name]
        by_unit = "pseudo_label" if row.selector and self.selection.unit == "cluster" else row.trained_with
        of_study = self.training.source_objective if row.selector else None
        optimizer = row.optimizer or self.training.optimizer
        return row.model_copy(update={"objective": row.objective or of_study or by_unit, "optimizer": optimizer})

    def reads_features(self, name: str) -> bool:
        """Return whether the trials of a row read features: they are fitted to them, or heads start from them."""
        return self.method(name).is_fitted or bool(HEAD_STARTS.find(self.training_of(name).head_start).uses_examples)

    @property
    def named_contrasts(self) -> tuple[tuple[str, str], ...]:
        """The pairs of rows on which the study gives a verdict."""
        if self.contrasts is not None:
            return self.contrasts
        return tuple(pair for pair in DEFAULT_CONTRASTS if set(pair) <= set(self.method_names))

    @property
    def shared_seed(self) -> int:
        """The seed of what all repeats share: the images of the source, the pre-training, the clusters."""
        return self.seed if self.repeats.shared_seed is None else self.repeats.shared_seed

    @property
    def num_reports(self) -> int:
        """How often a trial reports a score: after each epoch, or after each fold."""
        return self.training.num_epochs if self.folds == "official" else self.folds

    def chooses_in(self, repeat: int) -> bool:
        """Return whether a repeat, from 0, has trials of its own to choose by."""
        return repeat == 0 or self.choose == "each_repeat"

    @property
    def draws_rows(self) -> bool:
        """Whether the splits of targets are rows of whole sets, which repeats or folds draw."""
        return self.repeats.draws > 1 or self.repeats.test != "official" or self.folds != "official"

    def num_refits(self, name: str) -> int:
        """Return how often the best configuration of a row is trained for the table.

        Nothing of a row that is fitted to features is random: another seed would give the same score again.
        """
        return 1 if self.method(name).is_fitted or self.repeats.draws > 1 else self.refit.num_seeds

    def training_of(self, name: str) -> TrainingSettings:
        """Return the training of a row, with the head start, the optimizer, the schedule and the length it names."""
        (row,) = [each for each in self.methods if each.name == name]
        parts = ("head_start", "optimizer", "schedule")
        own = {part: getattr(row, part) for part in parts if getattr(row, part) is not None}
        settings = {f"{part}_settings": getattr(row, f"{part}_settings") for part in own}
        changes = own | settings | ({"longer": True} if row.longer else {})
        return self.training.model_copy(update=changes) if changes else self.training

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.storage / self.name

    @property
    def cache(self) -> Path:
        """Folder of the artifacts that studies share, by content key."""
        return self.storage / "cache"

    def tracking(self) -> str:
        """Return the address of MLflow's store, which may hold a password.

        It is the study's `tracking_uri`, else MLFLOW_TRACKING_URI of the environment (which MLflow's own
        `set_tracking_uri` also sets), else SQLite in the study's folder.
        """
        return self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_store(self.folder)


def _faults_of_layers(learns: Learns, backbone: BackboneSettings) -> list[str]:
    if isinstance(learns, str):
        return []
    from pretrieve.backbones import find_architecture

    try:
        with torch.random.fork_rng(devices=[]):  # building a network draws its weights
            fixed_blocks(find_architecture(backbone.architecture_name).build(), learns)
    except UserError as fault:
        return [str(fault)]
    except Exception as fault:  # of the network's own code
        return [f"backbone.name: a backbone must be built without an error, but ends in {in_words(fault)}; mend it"]
    return []


def _may_mix(objective: type[Objective]) -> bool:
    """Whether an objective has no source images to mix, or learns their labels, from one view, by a head of its own."""
    return not objective.uses_source or (objective.uses_source_head and not objective.uses_strong_view)


def _resolved_lists(name: str, lists: Mapping[str, Any], info: ValidationInfo) -> tuple[dict[str, Any], list[str]]:
    """Resolve the files among lists of groups relative to the study file; also return the faults."""
    resolved, faults = dict(lists), []
    for target, groups in lists.items():
        if isinstance(groups, str) and groups not in KNOWN_LISTS:
            try:
                resolved[target] = str(existing_path(Path(groups), info, "file"))
            except ValueError as error:
                faults.append(f"{name}.{target} = {groups!r}: {error}; known lists: {', '.join(KNOWN_LISTS)}")
    return resolved, faults
