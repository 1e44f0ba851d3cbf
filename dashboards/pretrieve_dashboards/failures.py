"""The trials of a study that diverged, failed or finished with a remark, and how failures of each kind are handled."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pretrieve.records import StudyRecord, TrialRecord

POLICIES = {
    "node lost": "the trial goes on elsewhere from its last epoch, without a limit",
    "process lost": "the trial goes on from its last epoch, up to 5 times",
    "out of memory": "a step is computed in smaller parts",
    "hung": "ended after too long without a step, goes on from its last epoch, up to twice",
    "disk full": "what is written to the study's folder waits until there is space; elsewhere, tried again up to twice",
    "program error": "the other trials of its cell are not started; correct it and run the study again",
    "diverged": "a result: the configuration has no score",
}


class NotedTrial(NamedTuple):
    """A trial or refit with a message for the reader."""

    target: str
    method: str
    trial: TrialRecord


class FailureRow(NamedTuple):
    """A kind of failure, or `diverged`: how often trials were restarted after it, and how many trials it ended."""

    kind: str
    num_interruptions: int
    num_trials: int
    policy: str


def problems(record: StudyRecord) -> list[NotedTrial]:
    """List the trials and refits that diverged or failed, in the order of the plan."""
    return [noted for noted in _all_trials(record) if noted.trial.state in ("diverged", "failed")]


def remarks(record: StudyRecord) -> list[NotedTrial]:
    """List the trials and refits that have a score, but finished with a remark, in the order of the plan."""
    return [noted for noted in _all_trials(record) if noted.trial.state == "finished" and noted.trial.message]


def _all_trials(record: StudyRecord) -> list[NotedTrial]:
    cells = record.cells
    return [NotedTrial(cell.target, cell.method, trial) for cell in cells for trial in (*cell.trials, *cell.refits)]


def failure_rows(record: StudyRecord) -> tuple[FailureRow, ...]:
    """Return a row for each kind of failure that occurred, in the order of POLICIES."""
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits, *cell.refits_with_leaks)]
    interruptions: Counter[str] = sum((Counter(trial.interruptions) for trial in trials), Counter())
    ends = Counter(trial.failure or "program error" for trial in trials if trial.state == "failed")
    ends["diverged"] = sum(trial.state == "diverged" for trial in trials)
    kinds = dict.fromkeys([*POLICIES, *interruptions, *ends])
    rows = [FailureRow(kind, interruptions[kind], ends[kind], POLICIES.get(kind, "")) for kind in kinds]
    return tuple(each for each in rows if each.num_interruptions or each.num_trials)
