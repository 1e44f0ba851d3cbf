"""The trials of a cell over all their hyperparameters at once, as parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import INK, Canvas, Scale
from pretrieve_dashboards.trial_marks import counted_states, draw_end, draw_legend, mark_of

MAX_VALUES_APART = 8
"""A hyperparameter with more values stands on a scale, as those of a random search do; fewer stand evenly apart."""
WIDE_RANGE = 20.0
"""Largest over smallest value from which on the scale is logarithmic."""
WITHOUT_SCORE = -0.14
SCORE = "validation %"

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _SIDE = 340.0, 170.0, 34.0, 24.0, 30.0
_NAMES = {"lr": "lr", "weight_decay": "wd", "source_weight": "λ", "top_k": "K", "head_lr_ratio": "head ×"}


@dataclass(frozen=True)
class ParallelAxis:
    """One upright axis.

    Attributes:
      name: of the hyperparameter, or of the score.
      ticks: (place from 0 at the bottom to 1 at the top, what stands there).
    """

    name: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class ParallelLine:
    """One trial.

    Attributes:
      places: on each axis, from 0 to 1; the last below 0 without a score.
      state: of the trial.
      is_best: whether it is the chosen configuration.
      run_id: its MLflow run.
    """

    places: tuple[float, ...]
    state: str
    is_best: bool
    run_id: str


@dataclass(frozen=True)
class ParallelView:
    """Parallel coordinates of a cell.

    Attributes:
      title: names the cell.
      axes: the hyperparameters that vary, and the score; empty where none varies, or no trial has told its point.
      lines: the trials that have told their points, the chosen one last, so that it lies on top.
      alternative: the same in words.
    """

    title: str
    axes: tuple[ParallelAxis, ...]
    lines: tuple[ParallelLine, ...]
    alternative: str


def parallel_view(cell: CellRecord) -> ParallelView:
    """Lay the trials of a cell that have told their points out along its hyperparameters, finished or not."""
    trials = cell.placed_trials
    names = _varying(trials)
    axes, columns = [], []
    for name in names:
        axis, places = _axis(name, [trial.hyperparameters.get(name) for trial in trials])
        axes.append(axis)
        columns.append(places)
    if names:
        axis, places = _score_axis(trials)
        axes.append(axis)
        columns.append(places)
    lines = [
        ParallelLine(tuple(column[number] for column in columns), trial.state, is_chosen(trial, cell), trial.run_id)
        for number, trial in enumerate(trials)
    ]
    return ParallelView(
        title=f"Hyperparameters and validation score of {cell.method} on {cell.target}",
        axes=tuple(axes),
        lines=tuple(sorted(lines, key=lambda line: line.is_best)),
        alternative=_in_words(cell, names),
    )


def is_chosen(trial: TrialRecord, cell: CellRecord) -> bool:
    """Say whether a trial is the configuration that its cell chose."""
    return cell.best is not None and trial.score is not None and dict(trial.hyperparameters) == dict(cell.best)


def _varying(trials: Sequence[TrialRecord]) -> list[str]:
    names = dict.fromkeys(name for trial in trials for name in trial.hyperparameters)
    return [name for name in names if len({trial.hyperparameters.get(name) for trial in trials}) > 1]


def _axis(name: str, values: Sequence[float | None]) -> tuple[ParallelAxis, list[float]]:
    """Place values apart where they are few, else on a scale; one that a trial does not have stands lowest."""
    known = sorted({value for value in values if value is not None})
    told: list[float | None] = [*([None] if None in values else []), *known]
    if len(told) <= MAX_VALUES_APART:
        at = {value: place / max(1, len(told) - 1) for place, value in enumerate(told)}
        ticks = tuple(
            (place, wording.ABSENT if value is None else wording.number(value)) for value, place in at.items()
        )
        return ParallelAxis(_NAMES.get(name, name), ticks), [at[value] for value in values]
    is_log = known[0] > 0 and known[-1] / known[0] >= WIDE_RANGE
    low, high = (math.log(each) if is_log else each for each in (known[0], known[-1]))
    scale = Scale(low, high, 0.0, 1.0)
    middle = math.sqrt(known[0] * known[-1]) if is_log else (known[0] + known[-1]) / 2
    ticks = ((0.0, f"{known[0]:.2g}"), (0.5, f"{middle:.2g}"), (1.0, f"{known[-1]:.2g}"))
    places = [0.0 if value is None else scale(math.log(value) if is_log else value) for value in values]
    return ParallelAxis(_NAMES.get(name, name), ticks), places


def _score_axis(trials: Sequence[TrialRecord]) -> tuple[ParallelAxis, list[float]]:
    scores = [trial.score for trial in trials if trial.score is not None]
    has_gap = len(scores) < len(trials)
    lowest = ((WITHOUT_SCORE, "no score"),) if has_gap else ()
    if not scores:
        return ParallelAxis(SCORE, lowest), [WITHOUT_SCORE] * len(trials)
    low, high = min(scores), max(scores)
    scale = Scale(low, high, 0.0, 1.0)
    told = (low, (low + high) / 2, high) if high > low else (high,)
    ticks = tuple((scale(score), wording.percent(score)) for score in told)
    return ParallelAxis(SCORE, lowest + ticks), [
        WITHOUT_SCORE if trial.score is None else scale(trial.score) for trial in trials
    ]


def _in_words(cell: CellRecord, names: Sequence[str]) -> str:
    if not cell.trials:
        return "No trial has begun."
    parts = [f"{wording.count(len(cell.trials), 'trial')} of {cell.num_planned}: {counted_states(cell.trials)}"]
    scores = [trial.score for trial in cell.trials if trial.score is not None]
    if scores:
        parts.append(f"scores from {wording.percent(min(scores))} to {wording.percent(max(scores))} %")
    if cell.best is not None:
        parts.append(f"chosen: {wording.hyperparameters(cell.best)} with {wording.percent(cell.best_val_score)} %")
    varied = ", ".join(_NAMES.get(name, name) for name in names)
    return "; ".join([*parts, f"what varies: {varied}" if varied else "nothing varies"]) + "."


def parallel_figure(view: ParallelView) -> str:
    """Draw parallel coordinates as SVG; empty words where the view has no axes."""
    if not view.axes:
        return ""
    canvas = Canvas(_WIDTH, _HEIGHT)
    across = Scale(0, len(view.axes) - 1, _SIDE, _WIDTH - _SIDE - 8)
    up = Scale(WITHOUT_SCORE, 1.0, _HEIGHT - _BOTTOM, _TOP)
    for line in view.lines:
        mark = mark_of(line.state, is_best=line.is_best)
        points = [(across(number), up(place)) for number, place in enumerate(line.places)]
        width = 1.8 if line.is_best else 0.9
        canvas.line(points, color=mark.color, width=width, opacity=mark.opacity, dash=mark.dash)
        draw_end(canvas, mark, *points[-1])
    for number, axis in enumerate(view.axes):
        _draw_axis(canvas, axis, across(number), up, is_last=number == len(view.axes) - 1)
    states = [line.state for line in view.lines if not line.is_best]
    draw_legend(canvas, states, 2, 10, has_best=any(line.is_best for line in view.lines))
    return canvas.write(title=view.title, alternative=view.alternative)


def _draw_axis(canvas: Canvas, axis: ParallelAxis, x: float, up: Scale, *, is_last: bool) -> None:
    canvas.line([(x, up(0.0)), (x, up(1.0))], color=INK, width=1.0, opacity=0.7)
    for place, told in axis.ticks:
        y = up(place)
        canvas.line([(x - 2, y), (x + 2, y)], width=1.0, opacity=0.7)
        canvas.text(x + (6 if is_last else -5), y + 3, told, anchor="start" if is_last else "end")
    canvas.text(min(x, _WIDTH - 34) if is_last else x, _HEIGHT - 6, axis.name, anchor="middle", bold=True)
