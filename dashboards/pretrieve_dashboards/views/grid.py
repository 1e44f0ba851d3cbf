"""A heat map of a cell's validation scores over its grid of hyperparameters."""

from __future__ import annotations

import math

from markupsafe import Markup

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, row
from pretrieve_dashboards.views._base import View
from pretrieve_dashboards.views._trial_lines import is_chosen, varying

_ROW = "lr"
_NO_TRIAL = TableCell(Markup('<span aria-label="no such trial yet">·</span>'), style="entry none")

_Point = tuple[float | None, ...]
"""Values of the hyperparameters of a column; None for a hyperparameter that a trial does not have."""


class Grid(View):
    """Learning rates are rows, the largest first. The other hyperparameters that vary form the columns."""

    name = "grid"
    title = "The search of each method"
    order = 32
    scope = "cell"
    intro = (
        "Validation scores in %; the stronger the colour, the higher within its method; the chosen configuration is "
        "bold and framed. In the figures a line is a trial."
    )

    def table(self, record: StudyRecord) -> Table:
        (cell,) = record.cells
        label = f"Validation scores of {cell.method} for {cell.target}"
        caption = f"{len(cell.trials)} of {wording.count(cell.num_planned, 'trial')} begun"
        trials = cell.placed_trials
        if not trials:
            nothing = f"no trial has {'recorded its point yet' if cell.trials else 'begun'}"
            return Table(label, caption, (), [row(TableCell(nothing, style="none"))], style="grid")
        others = [name for name in wording.ordered(n for t in trials for n in t.hyperparameters) if name != _ROW]
        names = varying(trials, others) or tuple(others[:1])
        points = {_point(trial, names) for trial in trials}
        columns = sorted(points, key=lambda point: [math.inf if value is None else -value for value in point])
        rates = sorted({trial.hyperparameters[_ROW] for trial in trials}, reverse=True)
        by_point = {(trial.hyperparameters[_ROW], _point(trial, names)): trial for trial in trials}
        scores = [trial.score for trial in trials if trial.score is not None]
        entries = {point: _entry(trial, scores, is_best=is_chosen(trial, cell)) for point, trial in by_point.items()}
        return Table(
            label,
            caption,
            ("", *(_column_head(names, point) for point in columns)),
            [
                row(f"lr {wording.number(rate)}", *(entries.get((rate, point), _NO_TRIAL) for point in columns))
                for rate in rates
            ],
            style="grid",
        )


def _point(trial: TrialRecord, names: tuple[str, ...]) -> _Point:
    return tuple(trial.hyperparameters.get(name) for name in names)


def _column_head(names: tuple[str, ...], point: _Point) -> str:
    lines = (wording.hyperparameter(name, value) for name, value in zip(names, point, strict=True))
    return Markup("").join(Markup("<span>{}</span>").format(line) for line in lines)


def _entry(trial: TrialRecord, scores: list[float], *, is_best: bool) -> TableCell:
    if trial.score is None:
        stopped = f"stopped after {trial.stopped_epoch}: {wording.percent(trial.stopped_score)}"
        text = trial.state if trial.stopped_epoch is None else stopped
        return TableCell(text, trial.run_id, style="entry none")
    low, high = min(scores), max(scores)
    shade = 100 if high == low else round(100 * (trial.score - low) / (high - low))
    return TableCell(wording.percent(trial.score), trial.run_id, is_best=is_best, style="entry", shade_percent=shade)
