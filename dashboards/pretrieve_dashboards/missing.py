"""What a study still lacks, in words, what went wrong in it, and what finished otherwise than the protocol says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pretrieve.records import CellRecord, StudyRecord, TrialRecord, TrialState
from pretrieve_dashboards.wording import count

RESULT_STATES: tuple[TrialState, ...] = ("finished", "diverged", "stopped")


@dataclass(frozen=True)
class NotedTrial:
    """A trial or refit whose message is to be read.

    Attributes:
      target: name of the target.
      method: name of the method.
      trial: what diverged, failed, or finished with a remark.
    """

    target: str
    method: str
    trial: TrialRecord


def missing_parts(record: StudyRecord) -> tuple[str, ...]:
    """Name what is missing, cell by cell; empty for a study that is whole.

    A diverged or stopped trial is a result and is not missing; a failed one is.
    """
    parts = (
        [] if record.is_finished else ["the study has not reached its end: it still runs, was interrupted or failed"]
    )
    for cell in record.cells:
        lacks = ", ".join(_missing_in(cell))
        if lacks:
            parts.append(f"{cell.target} · {cell.method}: {lacks}")
    return tuple(parts)


def _missing_in(cell: CellRecord) -> Iterator[str]:
    num_results = sum(cell.num_in_state(state) for state in RESULT_STATES)
    num_lacking = cell.num_planned - num_results
    if num_lacking:
        states = {
            "not begun": cell.num_planned - len(cell.trials),
            "running or interrupted": cell.num_in_state("running"),
            "failed": cell.num_in_state("failed"),
        }
        detail = ", ".join(f"{number} {state}" for state, number in states.items() if number)
        yield f"{num_lacking} of {count(cell.num_planned, 'trial')} without a result ({detail})"
    elif cell.best is None and not cell.num_in_state("finished"):
        yield "no trial with a score to choose from"
    if cell.test_mean is None:
        yield "not tested yet"
    elif any(refit.score is None for refit in cell.refits):
        num_untested = sum(refit.score is None for refit in cell.refits)
        yield f"{num_untested} of {count(len(cell.refits), 'refit')} without a test score"


def problems(record: StudyRecord) -> tuple[NotedTrial, ...]:
    """List the trials and refits that diverged or failed, in the order of the plan."""
    return tuple(noted for noted in _all_trials(record) if noted.trial.state in ("diverged", "failed"))


def remarks(record: StudyRecord) -> tuple[NotedTrial, ...]:
    """List the trials and refits that have a score, but finished with a remark, in the order of the plan."""
    return tuple(noted for noted in _all_trials(record) if noted.trial.state == "finished" and noted.trial.message)


def _all_trials(record: StudyRecord) -> Iterator[NotedTrial]:
    for cell in record.cells:
        for trial in (*cell.trials, *cell.refits):
            yield NotedTrial(cell.target, cell.method, trial)
