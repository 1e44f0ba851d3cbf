"""Learning curves that no trial's end has told: of trials that run, and of those of an earlier version."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pretrieve.records import CellRecord, TrialRecord
from pretrieve.tracking import schema
from pretrieve_dashboards.curve_view import trials_to_follow
from pretrieve_dashboards.store import StudyStore

MAX_REQUESTS = 200
"""Of one study: each may take MLflow tenths of a second where it holds hundreds of thousands of figures."""


def read_curves(store: StudyStore, cells: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
    """Read the curves of the trials of each cell that are worth following and have told none, up to MAX_REQUESTS.

    Those that run come first. One that runs, or whose process was lost, has told no end: the time of its last epoch
    stands for it.

    Raises:
      DashboardError: the store does not answer.
    """
    followed = [trial for cell in cells for trial in trials_to_follow(cell)]
    untold = [trial for trial in followed if trial.state == "running" or not trial.curve]
    untold.sort(key=lambda trial: trial.state != "running")
    histories = store.histories([trial.run_id for trial in untold[:MAX_REQUESTS]], schema.VAL_SCORE)
    return tuple(
        replace(cell, trials=tuple(_with_curve(trial, histories.get(trial.run_id, [])) for trial in cell.trials))
        for cell in cells
    )


def _with_curve(trial: TrialRecord, history: Sequence[tuple[int, float, int]]) -> TrialRecord:
    curve = tuple((step, score) for step, score, _ in history if math.isfinite(score))
    attempts = trial.attempts
    if history and attempts and attempts[-1].end_ms is None:
        attempts = (*attempts[:-1], replace(attempts[-1], end_ms=history[-1][2]))
    return replace(trial, curve=curve, attempts=attempts) if history else trial
