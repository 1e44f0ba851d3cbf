"""The lines of trials, drawn by their state in every figure alike: lines and their ends differ, not only colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pretrieve.records import CellRecord, TrialRecord
from pretrieve_dashboards.svg_canvas import ACCENT, INK, SECOND, Canvas, Scale, text_width

MAX_CURVES = 30
"""Largest number of curves in a figure, so that they can be distinguished."""


class _Style(NamedTuple):
    """How the line of a trial looks. `end` is the symbol at its end: none, a `cross`, `bar`, `ring` or `plus`."""

    color: str = INK
    dash: str = ""
    end: str = ""
    opacity: float = 0.35


_CHOSEN = _Style(ACCENT, opacity=1.0)
_STYLES: Mapping[str, _Style] = {
    "finished": _Style(),
    "stopped": _Style(end="bar"),
    "diverged": _Style(SECOND, "4 2", "cross", 1.0),
    "failed": _Style(SECOND, "1 2", "plus", 1.0),
    "running": _Style(INK, "2 2", "ring", 0.6),
}
_STROKES = {"cross": ((2.5, 2.5), (2.5, -2.5)), "plus": ((3, 0), (0, 3)), "bar": ((0, 3),)}


class TrialLine(NamedTuple):
    """The line of a trial in a figure. Its points are in the units of the axes; `is_best` marks the chosen trial."""

    points: tuple[tuple[float, float], ...]
    state: str
    is_best: bool
    run_id: str

    @property
    def style(self) -> _Style:
        """The style of its state. An unknown state, from another version, looks like a trial that stopped early."""
        return _CHOSEN if self.is_best else _STYLES.get(self.state, _STYLES["stopped"])


def trial_lines(
    cell: CellRecord, trials: Iterable[TrialRecord], points: Iterable[Iterable[tuple[float, float]]]
) -> tuple[TrialLine, ...]:
    """Make the lines of some trials of a cell from their points. The chosen trial is last, so that it is on top."""
    drawn = zip(trials, points, strict=True)
    lines = [TrialLine(tuple(line), trial.state, is_chosen(trial, cell), trial.run_id) for trial, line in drawn]
    return tuple(sorted(lines, key=lambda line: line.is_best))


def draw_line(canvas: Canvas, line: TrialLine, across: Scale, up: Scale) -> None:
    """Draw a trial's line and the symbol at its end."""
    style, width = line.style, 1.8 if line.is_best else 0.9
    points = [(across(x), up(y)) for x, y in line.points]
    canvas.line(points, color=style.color, width=width, opacity=style.opacity, dash=style.dash)
    _draw_end(canvas, style, *points[-1])
    if len(points) == 1:
        canvas.dot(*points[0], radius=1.8, color=style.color)


def _draw_end(canvas: Canvas, style: _Style, x: float, y: float) -> None:
    for across, down in _STROKES.get(style.end, ()):
        canvas.line([(x - across, y - down), (x + across, y + down)], color=style.color, width=1.2)
    if style.end == "ring":
        canvas.dot(x, y, is_open=True, color=style.color)


def draw_legend(canvas: Canvas, lines: Sequence[TrialLine], x: float, y: float) -> None:
    """Draw one row with a sample of each kind of line in the figure, the chosen trial's first."""
    ordered = sorted(lines, key=lambda line: not line.is_best)
    for name, style in {"chosen" if line.is_best else line.state: line.style for line in ordered}.items():
        canvas.line([(x, y - 3), (x + 16, y - 3)], color=style.color, dash=style.dash, opacity=max(style.opacity, 0.6))
        _draw_end(canvas, style, x + 16, y - 3)
        canvas.text(x + 22, y, name)
        x += 34 + text_width(name)


def counted_states(trials: Iterable[TrialRecord]) -> str:
    """Write how many trials are in each state.

    >>> counted_states([])
    'none'
    """
    counts = Counter(str(trial.state) for trial in trials)
    return ", ".join(f"{number} {state}" for state, number in counts.items()) or "none"


def varying(trials: Iterable[TrialRecord], names: Iterable[str]) -> tuple[str, ...]:
    """Return the hyperparameters that do not have one value in all trials."""
    return tuple(name for name in names if len({trial.hyperparameters.get(name) for trial in trials}) > 1)


def is_chosen(trial: TrialRecord, cell: CellRecord) -> bool:
    """Return whether a trial has the configuration that its cell chose."""
    return cell.best is not None and trial.score is not None and dict(trial.hyperparameters) == dict(cell.best)


def chosen_trial(cell: CellRecord) -> TrialRecord | None:
    """Return the trial whose configuration a cell chose; None before the choice or if the plan has changed."""
    return next((trial for trial in cell.trials if is_chosen(trial, cell)), None)


def trials_to_follow(cell: CellRecord) -> tuple[TrialRecord, ...]:
    """Choose at most MAX_CURVES trials of a cell, in its order: the best ones, and ones that did not finish normally.

    At least half of them are the best, unless the cell has no more than MAX_CURVES trials: then all are returned.
    """
    if len(cell.trials) <= MAX_CURVES:
        return cell.trials
    scored = [trial for trial in cell.trials if trial.score is not None]
    by_score = sorted(scored, key=lambda trial: -(trial.score or 0.0))
    others = [trial for trial in cell.trials if trial.state != "finished"][: MAX_CURVES // 2]
    keys = list(dict.fromkeys(trial.key for trial in [*others, *by_score]))[:MAX_CURVES]
    return tuple(trial for trial in cell.trials if trial.key in keys)
