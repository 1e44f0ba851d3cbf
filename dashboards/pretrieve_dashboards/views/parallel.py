"""The hyperparameters and scores of a cell's trials, as parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pretrieve.records import CellRecord, StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import INK, Canvas, Scale
from pretrieve_dashboards.views._base import Figure, View
from pretrieve_dashboards.views._trial_lines import (
    TrialLine,
    counted_states,
    draw_legend,
    draw_line,
    trial_lines,
    varying,
)

MAX_VALUES_APART = 8
"""Up to so many values of a hyperparameter are evenly spaced. More, as in a random search, are placed on a scale."""
WIDE_RANGE = 20.0
"""The scale is logarithmic if the largest value is at least this many times the smallest."""
WITHOUT_SCORE = -0.14  # height of a missing score
SCORE = "validation %"

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _SIDE = 340.0, 170.0, 34.0, 24.0, 30.0


class ParallelAxis(NamedTuple):
    """A vertical axis. Its ticks are (height from 0 at the bottom to 1 at the top, label)."""

    name: str
    ticks: tuple[tuple[float, str], ...]


class ParallelCoordinates(NamedTuple):
    """The trials of a cell whose hyperparameters are known, the chosen trial last."""

    axes: tuple[ParallelAxis, ...]  # the hyperparameters that vary, and the score; empty if none varies
    lines: tuple[TrialLine, ...]  # points are (index of the axis, height on it); a missing score is below 0
    alternative: str  # describes the trials in words


class Parallel(View):
    """One axis for each hyperparameter that varies, and one for the score."""

    name = "parallel"
    title = "The search of each method"
    order = 33
    scope = "cell"

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        svg = parallel_figure(record.cells[0])
        return (Figure(svg, "Hyperparameters and score."),) if svg else ()


def parallel_coordinates(cell: CellRecord) -> ParallelCoordinates:
    """Place the trials of a finished or unfinished cell on axes of its hyperparameters."""
    trials = cell.placed_trials
    names = varying(trials, dict.fromkeys(name for trial in trials for name in trial.hyperparameters))
    axes = [_axis(name, [trial.hyperparameters.get(name) for trial in trials]) for name in names]
    if names:
        axes.append(_score_axis(trials))
    points = [[(float(axis), heights[n]) for axis, (_, heights) in enumerate(axes)] for n in range(len(trials))]
    return ParallelCoordinates(
        tuple(axis for axis, _ in axes), trial_lines(cell, trials, points), _description(cell, names)
    )


def _axis(name: str, values: Sequence[float | None]) -> tuple[ParallelAxis, list[float]]:
    """Space few values evenly, and place many on a scale. A value that a trial does not have is the lowest."""
    known = sorted({value for value in values if value is not None})
    apart: list[float | None] = [*([None] if None in values else []), *known]
    if len(apart) <= MAX_VALUES_APART:
        at = {value: index / max(1, len(apart) - 1) for index, value in enumerate(apart)}
        words = {value: wording.ABSENT if value is None else wording.number(value) for value in apart}
        ticks = tuple((at[value], word) for value, word in words.items())
        return ParallelAxis(wording.short_name(name), ticks), [at[value] for value in values]
    is_log = known[0] > 0 and known[-1] / known[0] >= WIDE_RANGE
    low, high = (math.log(each) if is_log else each for each in (known[0], known[-1]))
    scale = Scale(low, high, 0.0, 1.0)
    middle = math.sqrt(known[0] * known[-1]) if is_log else (known[0] + known[-1]) / 2
    ticks = ((0.0, f"{known[0]:.2g}"), (0.5, f"{middle:.2g}"), (1.0, f"{known[-1]:.2g}"))
    heights = [0.0 if value is None else scale(math.log(value) if is_log else value) for value in values]
    return ParallelAxis(wording.short_name(name), ticks), heights


def _score_axis(trials: Sequence[TrialRecord]) -> tuple[ParallelAxis, list[float]]:
    scores = [trial.score for trial in trials if trial.score is not None]
    lowest = ((WITHOUT_SCORE, "no score"),) if len(scores) < len(trials) else ()
    if not scores:
        return ParallelAxis(SCORE, lowest), [WITHOUT_SCORE] * len(trials)
    low, high = min(scores), max(scores)
    scale = Scale(low, high, 0.0, 1.0)
    marked = (low, (low + high) / 2, high) if high > low else (high,)
    ticks = tuple((scale(score), wording.percent(score)) for score in marked)
    heights = [WITHOUT_SCORE if trial.score is None else scale(trial.score) for trial in trials]
    return ParallelAxis(SCORE, lowest + ticks), heights


def _description(cell: CellRecord, names: Sequence[str]) -> str:
    if not cell.trials:
        return "No trial has begun."
    parts = [f"{wording.count(len(cell.trials), 'trial')} of {cell.num_planned}: {counted_states(cell.trials)}"]
    scores = [trial.score for trial in cell.trials if trial.score is not None]
    if scores:
        parts.append(f"scores from {wording.percent(min(scores))} to {wording.percent(max(scores))} %")
    if cell.best is not None:
        parts.append(f"chosen: {wording.hyperparameters(cell.best)} with {wording.percent(cell.best_val_score)} %")
    varied = ", ".join(wording.short_name(name) for name in names)
    return "; ".join([*parts, f"what varies: {varied}" if varied else "nothing varies"]) + "."


def parallel_figure(cell: CellRecord) -> str:
    """Draw parallel coordinates as SVG; an empty string if there are no axes."""
    drawn = parallel_coordinates(cell)
    if not drawn.axes:
        return ""
    canvas = Canvas(_WIDTH, _HEIGHT)
    across = Scale(0, len(drawn.axes) - 1, _SIDE, _WIDTH - _SIDE - 8)
    up = Scale(WITHOUT_SCORE, 1.0, _HEIGHT - _BOTTOM, _TOP)
    for line in drawn.lines:
        draw_line(canvas, line, across, up)
    for number, axis in enumerate(drawn.axes):
        _draw_axis(canvas, axis, across(number), up, is_last=number == len(drawn.axes) - 1)
    draw_legend(canvas, drawn.lines, 2, 10)
    title = f"Hyperparameters and validation score of {cell.method} on {cell.target}"
    return canvas.write(title=title, alternative=drawn.alternative)


def _draw_axis(canvas: Canvas, axis: ParallelAxis, x: float, up: Scale, *, is_last: bool) -> None:
    canvas.line([(x, up(0.0)), (x, up(1.0))], color=INK, width=1.0, opacity=0.7)
    for height, word in axis.ticks:
        y = up(height)
        canvas.line([(x - 2, y), (x + 2, y)], width=1.0, opacity=0.7)
        canvas.text(x + (6 if is_last else -5), y + 3, word, anchor="start" if is_last else "end")
    canvas.text(min(x, _WIDTH - 34) if is_last else x, _HEIGHT - 6, axis.name, anchor="middle", bold=True)
