"""How a trial is drawn by what became of it, the same in every figure: by its line and its end, not by colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards.svg_canvas import ACCENT, INK, SECOND, Canvas, Scale, text_width


class Mark(NamedTuple):
    """How the line of a trial looks; at its end stands nothing, a `cross`, `bar`, `ring` or `plus`."""

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
    """Return how a trial is drawn; one in a state of another version as one that ended early."""
    return BEST if is_best else MARKS.get(trial_state, MARKS["stopped"])


def draw_end(canvas: Canvas, mark: Mark, x: float, y: float) -> None:
    """Draw what stands at the end of a trial's line."""
    for across, down in _STROKES.get(mark.end, ()):
        canvas.line([(x - across, y - down), (x + across, y + down)], color=mark.color, width=1.2)
    if mark.end == "ring":
        canvas.dot(x, y, is_open=True, color=mark.color)


class TrialLine(NamedTuple):
    """The line of a trial in a figure: its points in the figure's values, and whether it is the chosen one."""

    points: tuple[tuple[float, float], ...]
    state: str
    is_best: bool
    run_id: str


def draw_line(canvas: Canvas, line: TrialLine, across: Scale, up: Scale) -> None:
    """Draw a trial's line and its end."""
    mark = mark_of(line.state, is_best=line.is_best)
    points = [(across(x), up(y)) for x, y in line.points]
    width = 1.8 if line.is_best else 0.9
    canvas.line(points, color=mark.color, width=width, opacity=mark.opacity, dash=mark.dash)
    draw_end(canvas, mark, *points[-1])
    if len(points) == 1:
        canvas.dot(*points[0], radius=1.8, color=mark.color)


def draw_legend(canvas: Canvas, lines: Sequence[TrialLine], x: float, y: float) -> None:
    """Draw a sample of each kind of line that the figure has, in one row."""
    shown = [("chosen", BEST)] if any(line.is_best for line in lines) else []
    shown += [(state, mark_of(state)) for state in dict.fromkeys(line.state for line in lines if not line.is_best)]
    for name, mark in shown:
        canvas.line([(x, y - 3), (x + 16, y - 3)], color=mark.color, dash=mark.dash, opacity=max(mark.opacity, 0.6))
        draw_end(canvas, mark, x + 16, y - 3)
        canvas.text(x + 22, y, name)
        x += 34 + text_width(name)


def counted_states(trials: Iterable[TrialRecord]) -> str:
    """Count trials by state in words.

    >>> counted_states([])
    'none'
    """
    counts = Counter(str(trial.state) for trial in trials)
    return ", ".join(f"{number} {state}" for state, number in counts.items()) or "none"


def is_chosen(trial: TrialRecord, cell: CellRecord) -> bool:
    """Say whether a trial is the configuration that its cell chose."""
    return cell.best is not None and trial.score is not None and dict(trial.hyperparameters) == dict(cell.best)


def chosen_trial(cell: CellRecord) -> TrialRecord | None:
    """Return the trial whose configuration a cell chose; None before, or where its plan has another."""
    return next((trial for trial in cell.trials if is_chosen(trial, cell)), None)
