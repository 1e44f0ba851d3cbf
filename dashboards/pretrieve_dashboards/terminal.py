"""The study on a terminal: its table, the best configurations, what it cost and where to look next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord, TrialState
from pretrieve_dashboards import wording
from pretrieve_dashboards.missing import missing_parts, remarks
from pretrieve_dashboards.table import ScoreTable, score_table
from pretrieve_dashboards.table_layout import empty_table, table_parts

MAX_MISSING_LISTED = 10

_CONFIGURATIONS_LEGEND = (
    "head: its learning rate over the backbone's; trials: finished of planned; div.: diverged; stop: stopped early; "
    "min:s: time of the trials."
)
_TOP_K_LEGEND = "K: number of selected groups; "
_HYPERPARAMETERS = {"lr": "lr", "weight_decay": "wd", "source_weight": "λ", "top_k": "K", "head_lr_ratio": "head"}
_PROBLEM_STATES: dict[TrialState, str] = {"diverged": "div.", "stopped": "stop", "failed": "fail"}


def print_study(record: StudyRecord, console: Console, *, report_path: Path | None = None) -> None:
    """Print a study, finished or not.

    Args:
      record: the study.
      console: its width decides the layout.
      report_path: where the HTML report lies, if it was written.
    """
    table = score_table(record)
    state = "" if record.is_finished else "  (unfinished)"
    _line(console, f"{record.name}: {record.backbone}, test score in %{state}", "bold")
    for part in table_parts(table, console):
        console.print(part)
    _line(console, _legend(record, table), "dim")
    _print_missing(record, console)
    _line(console, "\nBest configuration of each cell, chosen on validation", "bold")
    console.print(_configurations(record))
    _line(console, (_TOP_K_LEGEND if _has_top_k(record) else "") + _CONFIGURATIONS_LEGEND, "dim")
    _print_remarks(record, console)
    _line(console, "\nWhat it cost", "bold")
    for line in _cost_lines(record):
        _line(console, line)
    _line(console, "\nWhere to look next", "bold")
    for line in _next_lines(record, report_path):
        _line(console, line, is_for_copying=True)


def _line(console: Console, text: str, style: str = "", *, is_for_copying: bool = False) -> None:
    """Print names as they are: a bracket in one is no markup, and what is copied stays on one line."""
    console.print(Text(text, style=style), soft_wrap=is_for_copying)


def _legend(record: StudyRecord, table: ScoreTable) -> str:
    num_tested = {sum(refit.score is not None for refit in cell.refits) for cell in record.cells} - {0}
    refits = f" over {min(num_tested)}–{max(num_tested)} refits" if len(num_tested) > 1 else ""
    if len(num_tested) == 1:
        refits = f" over {wording.count(min(num_tested), 'refit')}"
    per_class = [target for target in table.targets if table.metrics[target] == "mean_per_class"]
    metric = f" Accuracy is the mean of the classes' for {', '.join(per_class)}, else top-1." if per_class else ""
    return f"± is half of the 95% interval (Student's t{refits}); bold: the largest mean on a target.{metric}"


def _print_missing(record: StudyRecord, console: Console) -> None:
    parts = missing_parts(record)
    if not parts:
        return
    _line(console, "\nMissing", "bold yellow")
    for part in parts[:MAX_MISSING_LISTED]:
        _line(console, f"  {part}")
    if len(parts) > MAX_MISSING_LISTED:
        _line(console, f"  and {len(parts) - MAX_MISSING_LISTED} more; the report lists them all")


def _print_remarks(record: StudyRecord, console: Console) -> None:
    number = len(remarks(record))
    if number:
        _line(console, f"{number} of the trials and refits finished with a remark, which the report gives.", "dim")


def _has_top_k(record: StudyRecord) -> bool:
    return any("top_k" in (cell.best or {}) for cell in record.cells)


def _configurations(record: StudyRecord) -> Table:
    problem_states = [state for state in _PROBLEM_STATES if any(cell.num_in_state(state) for cell in record.cells)]
    shown = empty_table()
    for name in ("target", "method"):
        shown.add_column(name, overflow="fold")
    names = [name for name in _HYPERPARAMETERS if name != "top_k" or _has_top_k(record)]
    short_names = [_HYPERPARAMETERS[name] for name in names]
    for name in ("val %", *short_names, "trials", *(_PROBLEM_STATES[state] for state in problem_states), "min:s"):
        shown.add_column(name, justify="right", no_wrap=name in ("val %", "min:s"))
    previous = ""
    for cell in record.cells:
        target = cell.target if cell.target != previous else ""
        problems = [str(cell.num_in_state(state) or "") for state in problem_states]
        shown.add_row(Text(target), Text(cell.method), *_choice(cell, names), *problems, _clock(cell))
        previous = cell.target
    return shown


def _choice(cell: CellRecord, names: Sequence[str]) -> list[str]:
    best = cell.best or {}
    chosen = [wording.number(best[name]) if name in best else wording.ABSENT for name in names]
    return [
        wording.percent(cell.best_val_score),
        *chosen,
        f"{cell.num_in_state('finished')}/{cell.num_planned}",
    ]


def _clock(cell: CellRecord) -> str:
    minutes, rest_s = divmod(round(sum(trial.seconds for trial in cell.trials)), 60)
    return f"{minutes}:{rest_s:02d}"


def _cost_lines(record: StudyRecord) -> list[str]:
    trials = [trial for cell in record.cells for trial in cell.trials]
    refits = [refit for cell in record.cells for refit in cell.refits]
    lines = [
        f"  {wording.count(len(group), noun)}: {wording.duration(sum(each.seconds for each in group))} of training"
        for group, noun in ((trials, "trial"), (refits, "refit"))
    ]
    stages = ", ".join(f"{name} {wording.duration(value)}" for name, value in record.stage_seconds.items())
    total = wording.duration(sum(record.stage_seconds.values()))
    return [*lines, f"  wall time by stage: {stages}; {total} in all"] if stages else lines


def _next_lines(record: StudyRecord, report_path: Path | None) -> list[str]:
    lines = [f"  report     {report_path}"] if report_path is not None else []
    lines.append(f"  every run  {wording.ui_command(record.tracking_uri)}  (MLflow, experiment {record.name!r})")
    models = [f"             {target}: {uri}" for target, uri in record.models.items()]
    if models:
        lines += ["  models     mlflow.pyfunc.load_model(URI)", *models]
    return lines
