"""The trials of a cell as a list, the best first, each with its run."""

from __future__ import annotations

import math

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.parallel_view import is_chosen
from pretrieve_dashboards.view_table import TableCell, ViewTable


def trial_table(cell: CellRecord, *, at_most: int) -> ViewTable:
    """List the trials that have begun.

    Args:
      cell: finished or not.
      at_most: rows; what is left out is what scored lowest or not at all.
    """
    trials = sorted(cell.trials, key=lambda trial: -math.inf if trial.score is None else trial.score, reverse=True)
    listed = trials[:at_most]
    has_epochs = any(trial.curve for trial in listed)
    return ViewTable(
        caption=f"{cell.method} on {cell.target}: {len(cell.trials)} of {wording.count(cell.num_planned, 'trial')} "
        "begun, by validation score in %; bold: chosen.",
        head=("configuration", "state", "validation", *(("epochs",) if has_epochs else ()), "time", "worker", "run"),
        rows=tuple(_row(trial, cell, has_epochs=has_epochs) for trial in listed),
        num_left_out=len(trials) - len(listed),
        row_runs=tuple(trial.run_id for trial in listed),
    )


def refit_table(cell: CellRecord) -> ViewTable:
    """List the refits of a cell's chosen configuration, with those that had its leaks."""
    refits = [(refit, "") for refit in cell.refits] + [(refit, "with leaks") for refit in cell.refits_with_leaks]
    return ViewTable(
        caption=f"{cell.method} on {cell.target}: the chosen configuration trained on train + val, test score in %.",
        head=("seed", "test", "state", "time", "worker", "run"),
        rows=tuple(_refit_row(refit, note) for refit, note in refits),
        row_runs=tuple(refit.run_id for refit, _ in refits),
    )


def _refit_row(refit: TrialRecord, note: str) -> tuple[TableCell, ...]:
    return (
        TableCell(f"seed {refit.seed}{f', {note}' if note else ''}"),
        TableCell(wording.percent(refit.score), refit.run_id, is_number=True),
        TableCell(refit.state),
        *_where_and_when(refit),
    )


def _where_and_when(trial: TrialRecord) -> tuple[TableCell, ...]:
    workers = dict.fromkeys(attempt.worker for attempt in trial.attempts if attempt.worker)
    return (
        TableCell(wording.duration(trial.seconds) if trial.seconds else wording.ABSENT, is_number=True),
        TableCell(", ".join(workers) or wording.ABSENT),
        TableCell(trial.run_id, trial.run_id),
    )


def _row(trial: TrialRecord, cell: CellRecord, *, has_epochs: bool) -> tuple[TableCell, ...]:
    epochs = str(trial.curve[-1][0]) if trial.curve else wording.ABSENT
    return (
        TableCell(wording.hyperparameters(trial.hyperparameters)),
        TableCell(_state(trial)),
        TableCell(wording.percent(trial.score), trial.run_id, is_number=True, is_best=is_chosen(trial, cell)),
        *((TableCell(epochs, is_number=True),) if has_epochs else ()),
        *_where_and_when(trial),
    )


def _state(trial: TrialRecord) -> str:
    if trial.stopped_epoch is None:
        return trial.state
    return f"stopped after {wording.count(trial.stopped_epoch, 'epoch')} at {wording.percent(trial.stopped_score)}"
