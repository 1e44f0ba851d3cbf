"""The results that a study does not have yet, in words."""

from __future__ import annotations

from collections.abc import Iterator

from pretrieve.records import CellRecord, StudyRecord, TrialState
from pretrieve_dashboards.wording import count

RESULT_STATES: tuple[TrialState, ...] = ("finished", "diverged", "stopped")


def missing_parts(record: StudyRecord) -> tuple[str, ...]:
    """Return a sentence for each cell with a missing result, and one for a study that has not ended.

    Diverged and stopped trials count as results; failed trials are missing.
    """
    unfinished = "the study has not reached its end: it still runs, was interrupted or failed"
    lacking = [(cell, ", ".join(_missing_in(cell))) for cell in record.cells]
    parts = [f"{cell.target} · {cell.method}: {what}" for cell, what in lacking if what]
    return (*(() if record.is_finished else (unfinished,)), *parts)


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
