"""The configuration that each method chose on validation, and what it scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table as PrintedTable
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord, TrialState
from pretrieve_dashboards import wording
from pretrieve_dashboards.table import empty_table, score_table
from pretrieve_dashboards.views._base import Table, TableCell, View, numbers, words
from pretrieve_dashboards.views._trial_lines import chosen_trial

_LEGEND = (
    "head: its learning rate over the backbone's; trials: finished of planned; div.: diverged; stop: stopped early; "
    "min:s: time of the trials."
)
_SHORT_NAMES = {"lr": "lr", "weight_decay": "wd", "source_weight": "λ", "top_k": "K", "head_lr_ratio": "head"}
_PROBLEM_STATES: dict[TrialState, str] = {"diverged": "div.", "stopped": "stop", "failed": "fail"}


class Best(View):
    """A row a method, for each target; on the terminal all targets in one table."""

    title = "Best configurations"
    order = 31
    scope = "target"

    def table(self, record: StudyRecord) -> Table:
        (target,) = record.targets
        best_methods = score_table(record).best_methods(target.name)
        return Table(
            label=f"Best configurations for {target.name}",
            caption="The configuration with the best validation score of each method, trained again on train + val and "
            "tested once a seed. Scores in %.",
            head=("method", "configuration", "validation", "test", "refits", "trials", "MLflow run"),
            rows=tuple(_row(cell, is_best=cell.method in best_methods) for cell in record.cells),
            row_runs=tuple(cell.run_id for cell in record.cells),
            style="pinned",
        )

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        names = [name for name in _SHORT_NAMES if name != "top_k" or _has_top_k(record)]
        yield Text("\nBest configuration of each cell, chosen on validation", style="bold")
        yield _printed_table(record, names)
        yield Text(("K: number of selected groups; " if "top_k" in names else "") + _LEGEND, style="dim")


def _row(cell: CellRecord, *, is_best: bool) -> tuple[TableCell, ...]:
    trial = chosen_trial(cell)
    test = wording.score(cell.test_mean, cell.test_ci95)
    test_run = None if cell.test_mean is None else cell.run_id
    num_tested = sum(refit.score is not None for refit in cell.refits)
    counts = (f"{num_tested} of {len(cell.refits)}", f"{cell.num_in_state('finished')} of {cell.num_planned}")
    return (
        *words(cell.method),
        TableCell(wording.hyperparameters(cell.best), style="whole"),
        TableCell(wording.percent(cell.best_val_score), None if trial is None else trial.run_id, is_number=True),
        TableCell(test, test_run, is_number=True, is_best=is_best),
        *numbers(counts),
        TableCell(cell.run_id or "not begun", cell.run_id),
    )


def _has_top_k(record: StudyRecord) -> bool:
    return any("top_k" in (cell.best or {}) for cell in record.cells)


def _printed_table(record: StudyRecord, names: Sequence[str]) -> PrintedTable:
    problem_states = [state for state in _PROBLEM_STATES if any(cell.num_in_state(state) for cell in record.cells)]
    printed = empty_table()
    for name in ("target", "method"):
        printed.add_column(name, overflow="fold")
    short_names = [_SHORT_NAMES[name] for name in names]
    for name in ("val %", *short_names, "trials", *(_PROBLEM_STATES[state] for state in problem_states), "min:s"):
        printed.add_column(name, justify="right", no_wrap=name in ("val %", "min:s"))
    previous = ""
    for cell in record.cells:
        target = cell.target if cell.target != previous else ""
        problems = [str(cell.num_in_state(state) or "") for state in problem_states]
        printed.add_row(Text(target), Text(cell.method), *_choice(cell, names), *problems, _clock(cell))
        previous = cell.target
    return printed


def _choice(cell: CellRecord, names: Sequence[str]) -> list[str]:
    best = cell.best or {}
    return [
        wording.percent(cell.best_val_score),
        *(wording.number(best[name]) if name in best else wording.ABSENT for name in names),
        f"{cell.num_in_state('finished')}/{cell.num_planned}",
    ]


def _clock(cell: CellRecord) -> str:
    minutes, rest_s = divmod(round(sum(trial.seconds for trial in cell.trials)), 60)
    return f"{minutes}:{rest_s:02d}"
