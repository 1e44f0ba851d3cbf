"""The learning curves of a cell: validation score over the epochs, by what became of each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.parallel_view import is_chosen
from pretrieve_dashboards.svg_canvas import Canvas, Scale, round_ticks
from pretrieve_dashboards.trial_marks import counted_states, draw_end, draw_legend, mark_of

MAX_CURVES = 30
"""Of one cell; more would be a blot."""
MAX_POINTS = 40
"""Of one curve."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 340.0, 170.0, 30.0, 20.0, 28.0


@dataclass(frozen=True)
class LearningCurve:
    """One trial.

    Attributes:
      points: (epoch from 1, validation score in [0, 1]).
      state: of the trial: one that was stopped early or diverged ends before the others.
      is_best: whether it is the chosen configuration.
      run_id: its MLflow run.
    """

    points: tuple[tuple[int, float], ...]
    state: str
    is_best: bool
    run_id: str


@dataclass(frozen=True)
class CurveView:
    """The learning curves of a cell.

    Attributes:
      title: names the cell.
      curves: of the trials that are shown and have told an epoch, the chosen one last.
      alternative: the same in words.
      num_without: trials that began and of which no curve is shown.
    """

    title: str
    curves: tuple[LearningCurve, ...]
    alternative: str
    num_without: int


def curve_view(cell: CellRecord) -> CurveView:
    """Collect the learning curves of a cell, finished or not, as far as its record holds them."""
    told = [trial for trial in trials_to_follow(cell) if trial.curve]
    curves = [
        LearningCurve(thinned(trial.curve, MAX_POINTS), trial.state, is_chosen(trial, cell), trial.run_id)
        for trial in told
    ]
    return CurveView(
        title=f"Learning curves of {cell.method} on {cell.target}",
        curves=tuple(sorted(curves, key=lambda curve: curve.is_best)),
        alternative=_in_words(cell, told),
        num_without=len(cell.trials) - len(told),
    )


def trials_to_follow(cell: CellRecord) -> tuple[TrialRecord, ...]:
    """Choose the trials of a cell whose curves are worth reading: the best, and what did not simply finish.

    Returns:
      At most MAX_CURVES, in the order of the cell, half of them or more the best; all where there are no more.
    """
    if len(cell.trials) <= MAX_CURVES:
        return cell.trials
    scored = [trial for trial in cell.trials if trial.score is not None]
    by_score = sorted(scored, key=lambda trial: -(trial.score or 0.0))
    others = [trial for trial in cell.trials if trial.state != "finished"][: MAX_CURVES // 2]
    keys = list(dict.fromkeys(trial.key for trial in [*others, *by_score]))[:MAX_CURVES]
    return tuple(trial for trial in cell.trials if trial.key in set(keys))


def thinned(points: Sequence[tuple[int, float]], at_most: int) -> tuple[tuple[int, float], ...]:
    """Keep evenly spaced points of a curve, its first and its last among them.

    >>> thinned([(epoch, 0.0) for epoch in range(1, 11)], 4)
    ((1, 0.0), (4, 0.0), (7, 0.0), (10, 0.0))
    """
    if len(points) <= at_most:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(number * last / (at_most - 1))] for number in range(at_most))


def _in_words(cell: CellRecord, told: Sequence[TrialRecord]) -> str:
    if not told:
        return "No trial has told an epoch."
    epochs = max(trial.curve[-1][0] for trial in told)
    parts = [f"{wording.count(len(told), 'trial')} over {wording.count(epochs, 'epoch')}: {counted_states(told)}"]
    short = [trial for trial in told if trial.curve[-1][0] < epochs and trial.state != "running"]
    parts += [
        f"{trial.state} after epoch {trial.curve[-1][0]} at {wording.percent(trial.curve[-1][1])} %: "
        f"{wording.hyperparameters(trial.hyperparameters)}"
        for trial in short[:5]
    ]
    chosen = [trial for trial in told if is_chosen(trial, cell)]
    parts += [
        f"the chosen one goes from {wording.percent(trial.curve[0][1])} to {wording.percent(trial.curve[-1][1])} %"
        for trial in chosen[:1]
    ]
    return "; ".join(parts) + "."


def curve_figure(view: CurveView) -> str:
    """Draw learning curves as SVG; empty words where there are none."""
    if not view.curves:
        return ""
    canvas = Canvas(_WIDTH, _HEIGHT)
    across, up = _scales(view.curves)
    _draw_axes(canvas, across, up)
    for curve in view.curves:
        mark = mark_of(curve.state, is_best=curve.is_best)
        points = [(across(epoch), up(100 * score)) for epoch, score in curve.points]
        canvas.line(points, color=mark.color, width=1.8 if curve.is_best else 0.9, opacity=mark.opacity, dash=mark.dash)
        draw_end(canvas, mark, *points[-1])
        if len(points) == 1:
            canvas.dot(*points[0], radius=1.8, color=mark.color)
    states = [curve.state for curve in view.curves if not curve.is_best]
    draw_legend(canvas, states, 2, 10, has_best=any(curve.is_best for curve in view.curves))
    return canvas.write(title=view.title, alternative=view.alternative)


def _scales(curves: Sequence[LearningCurve]) -> tuple[Scale, Scale]:
    points = [point for curve in curves for point in curve.points]
    epochs, scores = [epoch for epoch, _ in points], [100 * score for _, score in points]
    low, high = min(scores), max(scores)
    room = max(0.5, 0.05 * (high - low))
    across = Scale(min(epochs), max(epochs), _LEFT + 6, _WIDTH - 10)
    return across, Scale(max(0.0, low - room), min(100.0, high + room), _HEIGHT - _BOTTOM, _TOP)


def _draw_axes(canvas: Canvas, across: Scale, up: Scale) -> None:
    for percent in round_ticks(up.low, up.high, at_most=4):
        canvas.line([(_LEFT, up(percent)), (_WIDTH - 6, up(percent))], width=0.6, opacity=0.15)
        canvas.text(_LEFT - 4, up(percent) + 3, f"{percent:g}", anchor="end")
    for epoch in round_ticks(across.low, across.high, at_most=6, whole=True):
        canvas.line([(across(epoch), up.start), (across(epoch), up.start + 3)], opacity=0.7)
        canvas.text(across(epoch), up.start + 13, f"{epoch:g}", anchor="middle")
    canvas.line([(_LEFT, up.start), (_WIDTH - 6, up.start)], opacity=0.7)
    canvas.text(_WIDTH - 6, _HEIGHT - 3, "epoch; validation score in %", anchor="end")
