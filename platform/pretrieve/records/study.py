"""A whole study: what its plan, its files and its runs say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pretrieve.records.audit import AuditRecord
from pretrieve.records.plan import TargetRecord
from pretrieve.records.selection import SelectionRecord
from pretrieve.records.trial import TrialRecord, TrialState


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

    RECORD: ClassVar = "study"
    VERSION: ClassVar = 1

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
