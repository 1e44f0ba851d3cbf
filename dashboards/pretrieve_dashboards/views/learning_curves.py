"""The learning curves of a cell: the validation scores of its trials over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pretrieve.records import CellRecord, StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import Canvas, Scale, draw_axes, padded
from pretrieve_dashboards.views._base import Figure, View
from pretrieve_dashboards.views._trial_lines import (
    TrialLine,
    counted_states,
    draw_legend,
    draw_line,
    is_chosen,
    trial_lines,
    trials_to_follow,
)

MAX_POINTS = 40
"""Largest number of points in a curve."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 340.0, 170.0, 30.0, 20.0, 28.0


class LearningCurves(NamedTuple):
    """The learning curves of those shown trials of a cell that have finished an epoch, the chosen trial's last."""

    lines: tuple[TrialLine, ...]  # points are (epoch, counted from 1; validation score in %)
    alternative: str  # describes the curves in words
    num_without: int  # trials that have begun but whose curve is not shown


class Curves(View):
    """One line per trial. A trial that diverged or was stopped early ends before the others."""

    name = "curves"
    title = "The search of each method"
    order = 34
    scope = "cell"

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        (cell,) = record.cells
        curves = learning_curves(cell)
        title, number = f"Learning curves of {cell.method} on {cell.target}", curves.num_without
        left_out = f"; {number} of the trials {'is' if number == 1 else 'are'} not drawn" if number else ""
        return (Figure(curve_figure(title, curves), f"Learning curves{left_out}."),) if curves.lines else ()


def learning_curves(cell: CellRecord) -> LearningCurves:
    """Collect the learning curves of a finished or unfinished cell."""
    shown = [trial for trial in trials_to_follow(cell) if trial.curve]
    points = [[(float(epoch), 100 * score) for epoch, score in thinned(trial.curve, MAX_POINTS)] for trial in shown]
    return LearningCurves(trial_lines(cell, shown, points), _description(cell, shown), len(cell.trials) - len(shown))


def thinned(points: Sequence[tuple[int, float]], at_most: int) -> tuple[tuple[int, float], ...]:
    """Keep evenly spaced points of a curve, including the first and the last.

    >>> thinned([(epoch, 0.0) for epoch in range(1, 11)], 4)
    ((1, 0.0), (4, 0.0), (7, 0.0), (10, 0.0))
    """
    if len(points) <= at_most:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(number * last / (at_most - 1))] for number in range(at_most))


def _description(cell: CellRecord, shown: Sequence[TrialRecord]) -> str:
    if not shown:
        return "No trial has ended an epoch."
    epochs = max(trial.curve[-1][0] for trial in shown)
    parts = [f"{wording.count(len(shown), 'trial')} over {wording.count(epochs, 'epoch')}: {counted_states(shown)}"]
    short = [trial for trial in shown if trial.curve[-1][0] < epochs and trial.state != "running"]
    parts += [
        f"{trial.state} after epoch {trial.curve[-1][0]} at {wording.percent(trial.curve[-1][1])} %: "
        f"{wording.hyperparameters(trial.hyperparameters)}"
        for trial in short[:5]
    ]
    chosen = next((trial.curve for trial in shown if is_chosen(trial, cell)), None)
    if chosen:
        parts.append(f"the chosen one goes from {wording.percent(chosen[0][1])} to {wording.percent(chosen[-1][1])} %")
    return "; ".join(parts) + "."


def curve_figure(title: str, curves: LearningCurves) -> str:
    """Draw at least one learning curve as SVG."""
    canvas = Canvas(_WIDTH, _HEIGHT)
    epochs, percents = zip(*(point for line in curves.lines for point in line.points), strict=True)
    low, high = padded(percents, at_least=0.5)
    across = Scale(min(epochs), max(epochs), _LEFT, _WIDTH - 10)
    up = Scale(max(0.0, low), min(100.0, high), _HEIGHT - _BOTTOM, _TOP)
    x_ticks, y_ticks = across.ticks(6, whole=True), up.ticks(4)
    draw_axes(canvas, across, up, x_ticks=x_ticks, y_ticks=y_ticks, label="epoch; validation score in %")
    for line in curves.lines:
        draw_line(canvas, line, across, up)
    draw_legend(canvas, curves.lines, 2, 10)
    return canvas.write(title=title, alternative=curves.alternative)
