"""The trials and refits of a cell as lists, each with its run."""

from __future__ import annotations

import math

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.views._base import Table, TableCell, View
from pretrieve_dashboards.views._trial_lines import is_chosen


class Trials(View):
    """The trials that have begun, the best first: what a report leaves out scored lowest or not at all."""

    title = "The search of each method"
    order = 35
    scope = "cell"

    def table(self, record: StudyRecord) -> Table:
        (cell,) = record.cells
        trials = sorted(cell.trials, key=lambda trial: -math.inf if trial.score is None else trial.score, reverse=True)
        has_epochs = any(trial.curve for trial in trials)
        rows = [_trial_row(trial, is_best=is_chosen(trial, cell), has_epochs=has_epochs) for trial in trials]
        return Table(
            label=f"Trials of {cell.method} for {cell.target}",
            caption=f"{cell.method} on {cell.target}: {len(cell.trials)} of "
            f"{wording.count(cell.num_planned, 'trial')} begun, by validation score in %; bold: chosen.",
            head=(
                "configuration",
                "state",
                "validation",
                *(("epochs",) if has_epochs else ()),
                "time",
                "worker",
                "run",
            ),
            rows=tuple(rows),
            row_runs=tuple(trial.run_id for trial in trials),
            style="trials",  # which print leaves out
            folded=_with_runs(len(trials), "trial"),
        )


class Refits(View):
    """The refits of a cell's chosen configuration, with those that had its leaks."""

    title = "The search of each method"
    order = 36
    scope = "cell"

    def table(self, record: StudyRecord) -> Table:
        (cell,) = record.cells
        refits = [(refit, "") for refit in cell.refits] + [(each, ", with leaks") for each in cell.refits_with_leaks]
        return Table(
            label=f"Refits of {cell.method} for {cell.target}",
            caption=f"{cell.method} on {cell.target}: the chosen configuration trained on train + val, test score "
            "in %.",
            head=("seed", "test", "state", "time", "worker", "run"),
            rows=tuple(_refit_row(refit, f"seed {refit.seed}{note}") for refit, note in refits),
            row_runs=tuple(refit.run_id for refit, _ in refits),
            folded=_with_runs(len(refits), "refit"),
        )


def _with_runs(number: int, noun: str) -> str:
    return f"{wording.count(number, noun)} with {'its run' if number == 1 else 'their runs'}"


def _trial_row(trial: TrialRecord, *, is_best: bool, has_epochs: bool) -> tuple[TableCell, ...]:
    epochs = str(trial.curve[-1][0]) if trial.curve else wording.ABSENT
    return (
        TableCell(wording.hyperparameters(trial.hyperparameters)),
        TableCell(_state(trial)),
        TableCell(wording.percent(trial.score), trial.run_id, is_number=True, is_best=is_best),
        *((TableCell(epochs, is_number=True),) if has_epochs else ()),
        *_where_and_when(trial),
    )


def _state(trial: TrialRecord) -> str:
    if trial.stopped_epoch is None:
        return trial.state
    return f"stopped after {wording.count(trial.stopped_epoch, 'epoch')} at {wording.percent(trial.stopped_score)}"


def _refit_row(refit: TrialRecord, name: str) -> tuple[TableCell, ...]:
    return (
        TableCell(name),
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
