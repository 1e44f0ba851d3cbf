"""A study in the terminal: its results, where to look next, and the progress of a running study."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pretrieve.records import StudyRecord, TrialState
from pretrieve_dashboards import wording
from pretrieve_dashboards.choices import own_score
from pretrieve_dashboards.failures import failure_rows, problems
from pretrieve_dashboards.views import all_views

MAX_FAILURES_LISTED = 5
STATES: tuple[TrialState, ...] = ("finished", "running", "diverged", "stopped", "failed")


def print_study(record: StudyRecord, console: Console, *, report_path: Path | None = None) -> None:
    """Print a finished or unfinished study, laid out for the console's width, and the path of its report if given."""
    for view in all_views(record):
        for shown in view.printed(record, console) if view.applies(record) else ():
            console.print(shown)
    console.print(Text("\nWhere to look next", style="bold"))
    lines = [f"  report     {report_path}"] if report_path is not None else []
    page = wording.run_page(record, record.run_id)  # of a tracking server
    opened = f"open {page}" if page else wording.ui_command(record.tracking_uri)
    lines.append(f"  every run  {opened}  (MLflow, experiment {record.name!r})")
    models = [f"             {target}: {uri}{own_score(record, target)}" for target, uri in record.models.items()]
    if models:
        lines += ["  models     mlflow.pyfunc.load_model(URI)", *models]
    for line in lines:
        console.print(Text(line), soft_wrap=True)  # commands can be copied as one line


def print_status(record: StudyRecord, console: Console, *, driver: str | None) -> None:
    """Print the progress of a study; `driver` is the process that runs it now, None if there is none."""
    idle = "finished" if record.is_finished else "not running; the same command continues it"
    standing = idle if driver is None else f"run by {driver}"
    console.print(Text(f"{record.name}: {standing}", style="bold"))
    console.print(_cells(record, is_running=driver is not None))
    for kind, num_interruptions, num_trials, policy in failure_rows(record):
        console.print(Text(f"{kind}: {num_interruptions} started again, {num_trials} ended by it ({policy})"))
    failed = [noted for noted in problems(record) if noted.trial.state == "failed"]
    for target, method, trial in failed[:MAX_FAILURES_LISTED]:
        # The last line of a traceback is the error.
        last_line = (trial.message.strip().splitlines() or ["no reason given"])[-1].strip()
        console.print(Text(f"{target} · {method}, {wording.trial(trial)}: {last_line}"))
    if len(failed) > MAX_FAILURES_LISTED:
        left = wording.count(len(failed) - MAX_FAILURES_LISTED, "more failed trial")
        console.print(Text(f"and {left}; the report has all with their tracebacks"))


def _cells(record: StudyRecord, *, is_running: bool) -> Table:
    table = Table("target", "method", box=None)
    for name in ("trials", "done", "running" if is_running else "begun", *STATES[2:], "best on val", "refits"):
        table.add_column(name, justify="right")
    for cell in record.cells:
        best = "" if cell.best_val_score is None else wording.percent(cell.best_val_score)
        refits = str(sum(refit.state == "finished" for refit in cell.refits))
        counts = [str(cell.num_in_state(state) or "·") for state in STATES]
        table.add_row(Text(cell.target), Text(cell.method), str(cell.num_planned), *counts, best, refits)
    return table
