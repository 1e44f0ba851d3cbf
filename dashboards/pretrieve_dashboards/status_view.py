"""What is done of a study, what runs, what failed and why."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord
from pretrieve_dashboards.failure_view import failure_rows
from pretrieve_dashboards.wording import count

MAX_FAILURES_LISTED = 5


def print_status(record: StudyRecord, console: Console, *, driver: str | None) -> None:
    """Print where a study stands.

    Args:
      record: the study.
      console: where to.
      driver: who runs it now; None where nobody does.
    """
    console.print(Text(f"{record.name}: {_standing(record, driver)}", style="bold"))
    console.print(_cells(record, is_running=driver is not None))
    for row in failure_rows(record):
        console.print(
            Text(f"{row.kind}: {row.num_interruptions} started again, {row.num_trials} ended by it ({row.policy})")
        )
    for line in _failures(record):
        console.print(Text(line))


def _standing(record: StudyRecord, driver: str | None) -> str:
    if driver is not None:
        return f"run by {driver}"
    return "finished" if record.is_finished else "nobody runs it; the same command goes on"


def _cells(record: StudyRecord, *, is_running: bool) -> Table:
    table = Table("target", "method", box=None)
    begun = "running" if is_running else "begun"
    for name in ("trials", "done", begun, "diverged", "stopped", "failed", "best on val", "refits"):
        table.add_column(name, justify="right")
    for cell in record.cells:
        best = "" if cell.best_val_score is None else f"{100 * cell.best_val_score:.1f}"
        refits = f"{sum(refit.state == 'finished' for refit in cell.refits)}"
        table.add_row(cell.target, cell.method, str(cell.num_planned), *_counts(cell), best, refits)
    return table


def _counts(cell: CellRecord) -> list[str]:
    numbers = [cell.num_in_state(state) for state in ("finished", "running", "diverged", "stopped", "failed")]
    return [str(number) if number else "·" for number in numbers]


def _failures(record: StudyRecord) -> list[str]:
    """Name failed trials with the last line of what they said: the error itself, below its traceback."""
    failed = [
        (cell, trial) for cell in record.cells for trial in (*cell.trials, *cell.refits) if trial.state == "failed"
    ]
    lines = [
        f"{cell.target} · {cell.method}, {trial.kind} {trial.key[:8]}: {_last_line(trial.message)}"
        for cell, trial in failed[:MAX_FAILURES_LISTED]
    ]
    left = len(failed) - len(lines)
    return (
        [*lines, f"and {count(left, 'more failed trial')}; the report has all with their tracebacks"] if left else lines
    )


def _last_line(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
