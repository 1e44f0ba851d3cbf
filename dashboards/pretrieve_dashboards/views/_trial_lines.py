"""Draws trials by their state, in the same way in every figure: lines and their ends differ, not only colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards.svg_canvas import ACCENT, INK, SECOND, Canvas, Scale, text_width


class Mark(NamedTuple):
    """How the line of a trial looks. `end` is the symbol at its end: none, a `cross`, `bar`, `ring` or `plus`."""

    color: str = INK
    dash: str = ""
    end: str = ""
    opacity: float = 0.35


BEST = Mark(ACCENT, opacity=1.0)
MARKS: Mapping[str, Mark] = {
    "finished": Mark(),
    "stopped": Mark(end="bar"),
    "diverged": Mark(SECOND, "4 2", "cross", 1.0),
    "failed": Mark(SECOND, "1 2", "plus", 1.0),
    "running": Mark(INK, "2 2", "ring", 0.6),
}

_STROKES = {"cross": ((2.5, 2.5), (2.5, -2.5)), "plus": ((3, 0), (0, 3)), "bar": ((0, 3),)}


def mark_of(trial_state: str, *, is_best: bool = False) -> Mark:
    """Return how a trial is drawn. An unknown state, from another version, is drawn as one that stopped early."""
    return BEST if is_best else MARKS.get(trial_state, MARKS["stopped"])


def draw_end(canvas: Canvas, mark: Mark, x: float, y: float) -> None:
    """Draw the symbol at the end of a trial's line."""
    for across, down in _STROKES.get(mark.end, ()):
        canvas.line([(x - across, y - down), (x + across, y + down)], color=mark.color, width=1.2)
    if mark.end == "ring":
        canvas.dot(x, y, is_open=True, color=mark.color)


class TrialLine(NamedTuple):
    """The line of a trial in a figure. Its points are in the units of the axes; `is_best` marks the chosen trial."""

    points: tuple[tuple[float, float], ...]
    state: str
    is_best: bool
    run_id: str


def draw_line(canvas: Canvas, line: TrialLine, across: Scale, up: Scale) -> None:
    """Draw a trial's line and the symbol at its end."""
    mark = mark_of(line.state, is_best=line.is_best)
    points = [(across(x), up(y)) for x, y in line.points]
    width = 1.8 if line.is_best else 0.9
    canvas.line(points, color=mark.color, width=width, opacity=mark.opacity, dash=mark.dash)
    draw_end(canvas, mark, *points[-1])
    if len(points) == 1:
        canvas.dot(*points[0], radius=1.8, color=mark.color)


def draw_legend(canvas: Canvas, lines: Sequence[TrialLine], x: float, y: float) -> None:
    """Draw one row with a sample of each kind of line in the figure."""
    shown = [("chosen", BEST)] if any(line.is_best for line in lines) else []
    shown += [(state, mark_of(state)) for state in dict.fromkeys(line.state for line in lines if not line.is_best)]
    for name, mark in shown:
        canvas.line([(x, y - 3), (x + 16, y - 3)], color=mark.color, dash=mark.dash, opacity=max(mark.opacity, 0.6))
        draw_end(canvas, mark, x + 16, y - 3)
        canvas.text(x + 22, y, name)
        x += 34 + text_width(name)


def counted_states(trials: Iterable[TrialRecord]) -> str:
    """Write how many trials are in each state.

    >>> counted_states([])
    'none'
    """
    counts = Counter(str(trial.state) for trial in trials)
    return ", ".join(f"{number} {state}" for state, number in counts.items()) or "none"


def is_chosen(trial: TrialRecord, cell: CellRecord) -> bool:
    """Return whether a trial has the configuration that its cell chose."""
    return cell.best is not None and trial.score is not None and dict(trial.hyperparameters) == dict(cell.best)


def chosen_trial(cell: CellRecord) -> TrialRecord | None:
    """Return the trial whose configuration a cell chose; None before the choice or if the plan has changed."""
    return next((trial for trial in cell.trials if is_chosen(trial, cell)), None)
