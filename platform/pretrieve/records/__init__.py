"""What a study left behind, as typed records: read from MLflow by the dashboards, held by the Python facade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TrialState = Literal["running", "finished", "diverged", "stopped", "failed"]


@dataclass(frozen=True)
class Attempt:
    """A stretch of a trial's work in one process; a trial that was cut short and went on has several.

    Attributes:
      worker: node and GPU; empty where it is not recorded.
      start_ms: when it began, milliseconds since 1970.
      end_ms: when it ended or was last heard of; None where it has told nothing since it began.
    """

    worker: str
    start_ms: int
    end_ms: int | None


@dataclass(frozen=True)
class TrialRecord:
    """One trial or refit.

    Attributes:
      key: hash of everything that decides its result.
      run_id: its MLflow run.
      kind: `trial` or `refit`.
      state: `running` also for one that was interrupted.
      hyperparameters: lr, weight_decay, head_lr_ratio; with a source stream source_weight; where the grid varies the
        number of selected units top_k.
      seed: its seed.
      score: validation score of a trial, test score of a refit, in [0, 1]; None unless finished.
      seconds: what it took; 0 while unknown.
      message: why it diverged, was stopped or failed, or how one that finished departs from the protocol; empty
        otherwise.
      failure: what kind of failure it ended in; empty unless it failed.
      interruptions: how often each kind of failure cut its process short, before it was started again.
      stopped_epoch: the epoch after which the search stopped it; None unless stopped.
      stopped_score: its validation score there, in [0, 1]; None unless stopped. It is no score to choose by.
      attempts: what it ran on and when, in order; empty where not even its start is recorded.
      curve: (epoch from 1, validation score in [0, 1]) of a trial; empty where it was not read.
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


@dataclass(frozen=True)
class CellRecord:
    """One (target, method) pair of the table.

    Attributes:
      target: name of the target.
      method: name of the method.
      run_id: its MLflow run; None where it has not begun.
      num_planned: trials that the present plan holds.
      trials: those of them that have begun.
      best: the hyperparameters chosen on validation; None before.
      best_val_score: their validation score in [0, 1]; None before.
      refits: trainings of the best configuration on train + val, those of the present best only.
      test_mean: mean test score of the refits in [0, 1]; None before.
      test_ci95: half width of its 95% interval (Student's t over the refits); None with fewer than two refits.
      refits_with_leaks: the same refits with the source images that an audit left out; empty where it left out none.
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

    @property
    def placed_trials(self) -> tuple[TrialRecord, ...]:
        """Trials whose place in the grid is recorded; one that begins now has not told it yet."""
        return tuple(trial for trial in self.trials if "lr" in trial.hyperparameters)

    def num_in_state(self, state: TrialState) -> int:
        """Count the trials in a state."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class TargetRecord:
    """A column of the table.

    Attributes:
      name: of the target.
      metric: `top1` or `mean_per_class`.
      num_classes: K.
      num_images: images by split.
    """

    name: str
    metric: str
    num_classes: int
    num_images: Mapping[str, int]


@dataclass(frozen=True)
class SelectionRecord:
    """The groups of the source that a method chose for a target.

    Attributes:
      target: name of the target.
      method: name of the method.
      groups: indices of the chosen groups, best first; of very many the first ones.
      names: their names, in the same order.
      scores: their scores, in the same order; larger is more similar.
      margin: score of the last chosen group minus that of the first one left out; None where all were chosen.
      converged: whether the solver reached its tolerance; True for methods that solve nothing.
      ranks: their ranks among all groups of the source, counted from 1, in the same order; they begin later for a
        decile of the ranking, and skip some where classes are capped.
      num_selected: how many were chosen, ≥ the number of groups listed.
      margins: the margin at each number of groups that the grid tries.
      num_shared: chosen groups that each other method of the target chose too.
      thumbnails: small pictures of the first groups, in the same order: a JPEG each as base64 text, or empty.
    """

    target: str
    method: str
    groups: tuple[int, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]
    margin: float | None
    converged: bool
    ranks: tuple[int, ...]
    num_selected: int
    margins: Mapping[int, float | None] = field(default_factory=dict)
    num_shared: Mapping[str, int] = field(default_factory=dict)
    thumbnails: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditRecord:
    """What the leakage audit found of one target.

    Attributes:
      target: its name.
      side: `source`, of the images that are reused, or `train`, of the target's own.
      num_leaking: images of that side that show a test image.
      num_shown: test images that they show.
      num_pairs: pairs of the two.
      num_compared: pairs of images that were compared.
      summary: lines on what decided, for people.
    """

    target: str
    side: str
    num_leaking: int
    num_shown: int
    num_pairs: int
    num_compared: int
    summary: tuple[str, ...]


@dataclass(frozen=True)
class StudyRecord:
    """A whole study.

    Attributes:
      name: of the study and its MLflow experiment.
      experiment_id: of MLflow.
      run_id: the study's own MLflow run.
      tracking_uri: MLflow's store, without its password.
      is_finished: whether its latest run reached the end.
      backbone: name of the backbone.
      settings: the whole configuration, nested.
      targets: the columns of the table.
      methods: the rows of the table.
      cells: one for each target and method of the plan, also where it has not begun.
      selections: what the methods chose.
      stage_seconds: wall time of each stage, summed over all runs of the study.
      models: registered model name, version and URI by target.
      audits: what the leakage audit found; empty where the study has none.
    """

    name: str
    experiment_id: str
    run_id: str
    tracking_uri: str
    is_finished: bool
    backbone: str
    settings: Mapping[str, object]
    targets: tuple[TargetRecord, ...]
    methods: tuple[str, ...]
    cells: tuple[CellRecord, ...]
    selections: tuple[SelectionRecord, ...]
    stage_seconds: Mapping[str, float]
    models: Mapping[str, str]
    audits: tuple[AuditRecord, ...] = ()

    def cell(self, target: str, method: str) -> CellRecord:
        """Return the cell of a pair.

        Raises:
          KeyError: the plan has no such pair.
        """
        for cell in self.cells:
            if (cell.target, cell.method) == (target, method):
                return cell
        raise KeyError((target, method))
