"""A target, the configuration that each method chose for it on validation, and the scores of that configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.console import Console, RenderableType
from rich.text import Text

from pretrieve.records import CellRecord, StudyRecord, TrialState
from pretrieve_dashboards import wording
from pretrieve_dashboards.choices import own_score, ties
from pretrieve_dashboards.table_of_scores import cell_score, printed_table, score_table
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View
from pretrieve_dashboards.views._trial_lines import chosen_trial

_LEGEND = (
    "head: its learning rate over the backbone's; trials: finished of planned; div.: diverged; stop: stopped early; "
    "min:s: time of the trials."
)
_PROBLEM_STATES: dict[TrialState, str] = {"diverged": "div.", "stopped": "stop", "failed": "fail"}


class AboutTarget(View):
    """The classes and images of a target, its metric and its registered model."""

    name = "about_target"
    title = ""
    order = 30
    scope = "target"

    def text(self, record: StudyRecord) -> str:
        (target,) = record.targets
        images = ", ".join(f"{number} {split}" for split, number in target.num_images.items())
        metric = wording.metric(target)
        text = Markup("{} classes, {} images; scored by {}. ").format(target.num_classes, images, metric)
        if target.name not in record.models:
            return text + "No model is registered yet."
        model = Markup("Model: <code>{}</code>{}.").format(record.models[target.name], own_score(record, target.name))
        return text + model + " It is that of the simplest method within one standard error of the best on validation."


class Best(View):
    """One row per method, for each target; the terminal shows all targets in one table."""

    name = "best"
    title = "Best configurations"
    order = 31
    scope = "target"

    def table(self, record: StudyRecord) -> Table:
        (target,) = record.targets
        better = score_table(record).better
        return Table(
            label=f"Best configurations for {target.name}",
            caption="The configuration with the best validation score of each method, trained again on train + val and "
            "tested once a seed. Scores in %.",
            head=("method", "configuration", "validation", "test", "refits", "trials", "MLflow run"),
            rows=[_row(cell, is_best=(target.name, cell.method) in better) for cell in record.cells],
            row_runs=[cell.run_id for cell in record.cells],
            style="pinned",
        )

    def note(self, record: StudyRecord) -> str:
        return ties(record.cells)

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        names = wording.ordered(name for cell in record.cells for name in cell.best or ())
        states = [state for state in _PROBLEM_STATES if any(cell.num_in_state(state) for cell in record.cells)]
        hyperparameters = [wording.short_name(name) for name in names]
        columns = (*hyperparameters, "trials", *(_PROBLEM_STATES[state] for state in states))
        previous = [None, *(cell.target for cell in record.cells)]
        rows = [
            row("" if cell.target == before else cell.target, cell.method, *_printed_numbers(cell, names, states))
            for cell, before in zip(record.cells, previous, strict=False)
        ]
        yield Text("\nBest configuration of each cell, chosen on validation", style="bold")
        yield printed_table(("target", "method", "val %", *columns, "min:s"), rows)
        if tied := ties(record.cells):
            yield Text(tied, style="dim")
        yield Text(("K: number of selected groups; " if "top_k" in names else "") + _LEGEND, style="dim")


def _row(cell: CellRecord, *, is_best: bool) -> tuple[TableCell, ...]:
    trial, test_run = chosen_trial(cell), None if cell.test_mean is None else cell.run_id
    num_tested = sum(refit.score is not None for refit in cell.refits)
    return row(
        cell.method,
        TableCell(wording.hyperparameters(cell.best), style="whole"),
        numeric(wording.percent(cell.best_val_score), None if trial is None else trial.run_id),
        numeric(cell_score(cell), test_run, is_best=is_best),
        numeric(f"{num_tested} of {len(cell.refits)}"),
        numeric(f"{cell.num_in_state('finished')} of {cell.num_planned}"),
        TableCell(cell.run_id or "not begun", cell.run_id),
    )


def _printed_numbers(cell: CellRecord, names: Sequence[str], states: Sequence[TrialState]) -> list[TableCell]:
    best = cell.best or {}
    minutes, rest_s = divmod(round(sum(trial.seconds for trial in cell.trials)), 60)
    texts = (
        wording.percent(cell.best_val_score),
        *(wording.number(best[name]) if name in best else wording.ABSENT for name in names),
        f"{cell.num_in_state('finished')}/{cell.num_planned}",
        *(str(cell.num_in_state(state) or "") for state in states),
        f"{minutes}:{rest_s:02d}",
    )
    return [numeric(text) for text in texts]
