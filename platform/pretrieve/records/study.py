"""What a study plans and what its runs in MLflow hold: targets, cells, trials and their attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from pretrieve.records.audit import AuditRecord
from pretrieve.records.codec import to_json
from pretrieve.records.label_curve import LabelCurve
from pretrieve.records.selection import SelectionRecord
from pretrieve.records.verdict import VerdictRecord

TrialState = Literal["running", "finished", "diverged", "stopped", "failed"]


@dataclass(frozen=True)
class TargetRecord:
    """A column of the table.

    Attributes:
      metric: the word of the metric that gives its scores, such as `top1`.
      num_images: by split.
      metric_label: how tables call the metric; empty for its name.
      further_metrics: of the metrics that are kept beside the score, how tables call them, by name.
      source_distance: mean cosine distance of its classes to the nearest groups of the source, in [0, 2]; None where
        none is computed.
    """

    name: str
    metric: str
    num_classes: int
    num_images: Mapping[str, int]
    metric_label: str = ""
    further_metrics: Mapping[str, str] = field(default_factory=dict)
    source_distance: float | None = None


@dataclass(frozen=True)
class PlannedCell:
    """The planned trials of one (target, method) pair in one repeat."""

    target: str
    method: str
    trial_keys: tuple[str, ...]  # of the trials that are known, in the order of the grid
    num_trials: int  # how many it will have, ≥ the number of keys
    repeat: int = 0


@dataclass(frozen=True)
class PlanRecord:
    """What a study set out to do; `settings` is the whole configuration, nested; `hyperparameters` are the names."""

    RECORD: ClassVar = "plan"
    VERSION: ClassVar = 1

    backbone: str
    settings: Mapping[str, Any]
    methods: tuple[str, ...]
    targets: tuple[TargetRecord, ...]
    cells: tuple[PlannedCell, ...]
    hyperparameters: tuple[str, ...] = ("lr", "weight_decay", "head_lr_ratio", "source_weight")

    @property
    def top_ks(self) -> tuple[int, ...]:
        """Numbers of selected units in the grid; empty if it does not vary them."""
        return tuple(self.settings.get("grid", {}).get("top_k") or ())


@dataclass(frozen=True)
class Attempt:
    """A stretch of a trial's work in one process; a trial that was cut short and went on has several."""

    worker: str  # node and GPU; empty if it is not recorded
    start_ms: int  # milliseconds since 1970
    end_ms: int | None  # of its end or its last report; None if it reported nothing since it began


@dataclass(frozen=True)
class TrialRecord:
    """One trial or refit.

    Attributes:
      key: hash of everything that decides its result.
      state: `running` also for one that was interrupted.
      hyperparameters: those that its members read; where the grid varies the number of selected units, top_k.
      score: validation score of a trial, test score of a refit, in [0, 1]; None unless finished.
      seconds: its running time; 0 while unknown.
      message: why it diverged, was stopped or failed, or how a finished one departs from the protocol; else empty.
      failure: the kind of failure; empty unless it failed.
      interruptions: how often each kind of failure cut its process short, before it was started again.
      stopped_epoch: the epoch after which the search stopped it; None unless stopped.
      stopped_score: its validation score there, in [0, 1]; None unless stopped. It is no score to choose by.
      attempts: in order; empty if not even its start is recorded.
      curve: (epoch from 1, validation score in [0, 1]) of a trial; empty if it was not read.
      further_scores: the further metrics by name, in [0, 1], on the images that the score is of; empty unless finished.
      repeat: the number of its repeat, from 0.
      predictions: of a refit, MLflow's address (`runs:/…`) of its class scores on the test images, which
        `read_predictions` reads once `mlflow.artifacts.download_artifacts` has fetched them; empty where none are kept.
      temperature: of a trial that was scored by folds, by which class scores are divided for calibrated probabilities.
    """

    key: str
    run_id: str
    kind: Literal["trial", "refit"]
    state: TrialState
    hyperparameters: Mapping[str, float]
    seed: int
    score: float | None
    seconds: float
    message: str
    failure: str = ""
    interruptions: Mapping[str, int] = field(default_factory=dict)
    stopped_epoch: int | None = None
    stopped_score: float | None = None
    attempts: tuple[Attempt, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    further_scores: Mapping[str, float] = field(default_factory=dict)
    repeat: int = 0
    predictions: str = ""
    temperature: float | None = None


@dataclass(frozen=True)
class ChoiceRecord:
    """What was chosen in one repeat of a cell, with its validation score in [0, 1]; the score is None if unknown.

    `temperature` is that of the chosen trial.
    """

    repeat: int
    hyperparameters: Mapping[str, float]
    val_score: float | None
    temperature: float | None = None


@dataclass(frozen=True)
class CellRecord:
    """One (target, method) pair of the table.

    Attributes:
      run_id: its MLflow run; None before it begins.
      num_planned: trials in the present plan, of all repeats.
      trials: those of them that began.
      best: the hyperparameters chosen on validation, in the first repeat; None before.
      best_val_score: the validation score of what was chosen, in [0, 1], the mean over the repeats; None before.
      refits: trainings of the best configuration on train + val, those of the present best only; of all repeats.
      test_mean: mean test score of the refits in [0, 1]; None before.
      test_ci95: half width of its 95% interval (Student's t over the refits); None with fewer than three refits.
      refits_with_leaks: the same refits with the source images that an audit left out; empty if it left out none.
      choices: what was chosen in each repeat that has a choice.
    """

    target: str
    method: str
    run_id: str | None
    num_planned: int
    trials: tuple[TrialRecord, ...]
    best: Mapping[str, float] | None
    best_val_score: float | None
    refits: tuple[TrialRecord, ...]
    test_mean: float | None
    test_ci95: float | None
    refits_with_leaks: tuple[TrialRecord, ...] = ()
    choices: tuple[ChoiceRecord, ...] = ()

    @property
    def test_scores(self) -> tuple[float, ...]:
        """The test scores of the refits, in their order; those without one are left out."""
        return tuple(refit.score for refit in self.refits if refit.score is not None)

    def temperature(self, repeat: int) -> float | None:
        """Return the temperature of what was chosen in a repeat; None without folds."""
        return next((choice.temperature for choice in self.choices if choice.repeat == repeat), None)

    @property
    def placed_trials(self) -> tuple[TrialRecord, ...]:
        """Trials whose place in the grid is recorded; one that just begins has not recorded it yet."""
        return tuple(trial for trial in self.trials if "lr" in trial.hyperparameters)

    def num_in_state(self, state: TrialState) -> int:
        """Count the trials in a state."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class StudyRecord:
    """A whole study: `methods` are the rows of its table, `targets` the columns.

    Attributes:
      name: of the study and its MLflow experiment.
      run_id: the study's own MLflow run.
      tracking_uri: MLflow's store, without its password.
      is_finished: whether its latest run reached the end.
      settings: the whole configuration, nested.
      cells: one for each target and method of the plan, begun or not.
      stage_seconds: wall time of each stage, summed over all runs of the study.
      models: registered model name, version and URI by target.
      model_refits: the key of the refit that each of them is, by target; empty in records of earlier versions.
      audits: the results of the leakage audit; empty if the study has none.
      verdict: what its repeats say of its contrasts; None before, and for a study without repeats.
      label_curves: the linear probe with fewer labels, by target; empty before, and for a study without that row.
    """

    RECORD: ClassVar = "study"
    VERSION: ClassVar = 1

    name: str
    experiment_id: str
    run_id: str
    tracking_uri: str
    is_finished: bool
    backbone: str
    settings: Mapping[str, Any]
    targets: tuple[TargetRecord, ...]
    methods: tuple[str, ...]
    cells: tuple[CellRecord, ...]
    selections: tuple[SelectionRecord, ...]
    stage_seconds: Mapping[str, float]
    models: Mapping[str, str]
    audits: tuple[AuditRecord, ...] = ()
    verdict: VerdictRecord | None = None
    label_curves: tuple[LabelCurve, ...] = ()
    model_refits: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without what a subclass adds to show it."""
        return to_json(StudyRecord(**{each.name: getattr(self, each.name) for each in fields(StudyRecord)}))

    def model_refit(self, target: str) -> tuple[CellRecord, TrialRecord] | None:
        """Return the refit that is a target's registered model, with its cell; None if it is not known."""
        key = self.model_refits.get(target)
        found = [(cell, refit) for cell in self.cells for refit in cell.refits if refit.key == key]
        return found[0] if found else None

    def cell(self, target: str, method: str) -> CellRecord:
        """Return the cell of a pair; KeyError if the plan has no such pair."""
        return {(cell.target, cell.method): cell for cell in self.cells}[target, method]
