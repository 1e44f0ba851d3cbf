"""Tables of the trials and of the refits of a cell, each with its run."""

from __future__ import annotations

import math

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View
from pretrieve_dashboards.views._trial_lines import is_chosen


class Trials(View):
    """The trials that have begun, the best first, so that a shortened table has the best ones."""

    name = "trials"
    title = "The search of each method"
    order = 35
    scope = "cell"

    def table(self, record: StudyRecord) -> Table:
        (cell,) = record.cells
        trials = sorted(cell.trials, key=lambda trial: -math.inf if trial.score is None else trial.score, reverse=True)
        has_epochs = any(trial.curve for trial in trials)
        rows = [
            row(
                wording.hyperparameters(trial.hyperparameters),
                _state(trial),
                numeric(wording.percent(trial.score), trial.run_id, is_best=is_chosen(trial, cell)),
                *([numeric(trial.curve[-1][0] if trial.curve else wording.ABSENT)] if has_epochs else []),
                *_run_entries(trial),
            )
            for trial in trials
        ]
        return Table(
            label=f"Trials of {cell.method} for {cell.target}",
            caption=f"{cell.method} on {cell.target}: {len(trials)} of {wording.count(cell.num_planned, 'trial')} "
            "begun, by validation score in %; bold: chosen.",
            head=("configuration", "state", "validation", *(["epochs"] if has_epochs else []), "time", "worker", "run"),
            rows=rows,
            row_runs=[trial.run_id for trial in trials],
            style="trials",  # not printed on paper
            folded=_with_runs(len(trials), "trial"),
        )


class Refits(View):
    """The refits of a cell's chosen configuration, including those with leaks."""

    name = "refits"
    title = "The search of each method"
    order = 36
    scope = "cell"

    def table(self, record: StudyRecord) -> Table:
        (cell,) = record.cells
        refits = {refit.run_id: (refit, "") for refit in cell.refits}
        refits |= {refit.run_id: (refit, ", with leaks") for refit in cell.refits_with_leaks}
        rows = [
            row(
                f"seed {refit.seed}{note}",
                numeric(wording.percent(refit.score), run_id),
                refit.state,
                *_run_entries(refit),
            )
            for run_id, (refit, note) in refits.items()
        ]
        return Table(
            label=f"Refits of {cell.method} for {cell.target}",
            caption=f"{cell.method} on {cell.target}: the chosen configuration trained on train + val, test score in "
            "%.",
            head=("seed", "test", "state", "time", "worker", "run"),
            rows=rows,
            row_runs=list(refits),
            folded=_with_runs(len(refits), "refit"),
        )


def _with_runs(num: int, noun: str) -> str:
    return f"{wording.count(num, noun)} with {'its run' if num == 1 else 'their runs'}"


def _state(trial: TrialRecord) -> str:
    if trial.stopped_epoch is None:
        return trial.state
    return f"stopped after {wording.count(trial.stopped_epoch, 'epoch')} at {wording.percent(trial.stopped_score)}"


def _run_entries(trial: TrialRecord) -> tuple[TableCell, ...]:
    workers = ", ".join(dict.fromkeys(attempt.worker for attempt in trial.attempts if attempt.worker))
    took = wording.duration(trial.seconds) if trial.seconds else wording.ABSENT
    return numeric(took), TableCell(workers or wording.ABSENT), TableCell(trial.run_id, trial.run_id)
