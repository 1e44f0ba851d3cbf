"""The figures of a study: SVG that stands alone and fits a dark page and a light one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pretrieve.records import SelectionRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg import INK, empty_figure, figure_settings, write_svg
from pretrieve_dashboards.svg_canvas import Canvas, Scale, round_ticks, text_width, tick_words
from pretrieve_dashboards.table import ScoreTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each is at least 3 : 1 on white and on near-black; the marker tells the methods apart without colour.
COLORS = ("#2f81d6", "#d0661a", "#1a9273", "#b05cc4", "#c94f4f", "#8a7a1f", "#6f7a86")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")

MAX_NAME_LENGTH = 30
MAX_DOTS = 120

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 340.0, 170.0, 18.0, 28.0


def dot_plot(table: ScoreTable) -> str:
    """Draw the table: for each target a dot a method, with its 95% interval.

    Args:
      table: the scores; absent ones are left out.

    Returns:
      SVG with a text alternative that lists every number.
    """
    with figure_settings():
        num_columns = _num_legend_columns(table.methods)
        height_in = 0.7 + 0.2 * math.ceil(len(table.methods) / num_columns)
        height_in += max(1, len(table.targets)) * (0.24 + 0.13 * len(table.methods))
        figure, axes = empty_figure(height_in=height_in)
        for place, method in enumerate(table.methods):
            _draw_method(axes, table, method, place)
        axes.set_yticks(range(len(table.targets)), [_short(target) for target in table.targets])
        axes.set_ylim(len(table.targets) - 0.5, -0.5)
        axes.set_xlabel("test score in %, with 95% interval")
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        _keep_to_scale(axes)
        figure.legend(
            loc="outside upper left",
            ncols=num_columns,
            frameon=False,
            labelcolor=INK,
            handlelength=1.4,
            handletextpad=0.5,
            columnspacing=1.2,
        )
        return write_svg(figure, title="Test score by target and method", alternative=_dot_plot_alternative(table))


def _draw_method(axes: Axes, table: ScoreTable, method: str, place: int) -> None:
    """Draw one method's dots; where nothing is tested, its name still stands in the legend."""
    offset = 0.7 * ((place + 0.5) / len(table.methods) - 0.5)
    tested = [
        (row + offset, mean, table.ci95(target, method) or 0.0)
        for row, target in enumerate(table.targets)
        if (mean := table.mean(target, method)) is not None
    ]
    axes.errorbar(
        [100 * mean for _, mean, _ in tested],
        [height for height, _, _ in tested],
        xerr=[100 * ci95 for _, _, ci95 in tested],
        fmt=MARKERS[place % len(MARKERS)],
        color=COLORS[place % len(COLORS)],
        markersize=4.5,
        linewidth=1.4,
        label=_short(method),
    )


def _num_legend_columns(methods: tuple[str, ...]) -> int:
    longest = max(map(len, methods), default=0)
    return 4 if longest <= 9 else 2 if longest <= 22 else 1


def _short(name: str) -> str:
    """Cut a name that would leave no room for the axes; the text alternative has all of it."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def _keep_to_scale(axes: Axes) -> None:
    """Cut the axis at 0 and 100%: an interval of two refits may reach beyond what a score can be."""
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, 0.0), min(high, 100.5))


def _dot_plot_alternative(table: ScoreTable) -> str:
    parts = []
    for target in table.targets:
        scores = [
            f"{method} {wording.score(table.mean(target, method), table.ci95(target, method))}"
            for method in table.methods
            if table.mean(target, method) is not None
        ]
        parts.append(f"{target}: {', '.join(scores) or 'nothing tested yet'}")
    return "; ".join(parts) + "."


def ranked_similarity(selection: SelectionRecord) -> str:
    """Draw the similarity of the chosen groups by rank, and of the group that follows (figure 2b).

    Args:
      selection: what a method chose for a target; a decile of the ranking stands at its own ranks (figure 4b). The
        group that follows is drawn where its rank is known: the record lists all groups, and skips no rank.

    Returns:
      SVG with a text alternative that names the first and the last group.
    """
    canvas = Canvas(_WIDTH, _HEIGHT)
    following = selection.margin if selection.margin is not None and _lists_every_rank(selection) else None
    if selection.scores:
        _draw_ranking(canvas, selection, following)
    title = f"Ranked similarity of the source's groups to {selection.target}, by {selection.method}"
    return canvas.write(title=title, alternative=_ranking_alternative(selection))


def _draw_ranking(canvas: Canvas, selection: SelectionRecord, margin: float | None) -> None:
    lowest = selection.scores[-1] - (margin or 0.0)
    up = Scale(min(*selection.scores, lowest), max(selection.scores), _HEIGHT - _BOTTOM, _TOP)
    ticks = round_ticks(up.low, up.high, at_most=5)
    words = tick_words(ticks)
    last = selection.ranks[-1] + (margin is not None)
    across = Scale(selection.ranks[0], last, 10 + max(map(text_width, words)), _WIDTH - 12)
    for tick, word in zip(ticks, words, strict=True):
        canvas.line([(across.start, up(tick)), (across.end, up(tick))], width=0.6, opacity=0.15)
        canvas.text(across.start - 4, up(tick) + 3, word, anchor="end")
    for rank in round_ticks(across.low, across.high, at_most=5, whole=True):
        canvas.line([(across(rank), up.start), (across(rank), up.start + 3)], opacity=0.7)
        canvas.text(across(rank), up.start + 13, str(int(rank)), anchor="middle")
    canvas.line([(across.start, up.start), (across.end, up.start)], opacity=0.7)
    points = [(across(rank), up(score)) for rank, score in zip(selection.ranks, selection.scores, strict=True)]
    canvas.line(points, color=COLORS[0], width=1.6)
    if len(points) <= MAX_DOTS:
        for x, y in points:
            canvas.dot(x, y, radius=1.6, color=COLORS[0])
    if margin is not None:
        _draw_following(canvas, selection, across(last), up(lowest))
    canvas.text(across.end, _HEIGHT - 3, "rank of the group; similarity", anchor="end", opacity=0.8)


def _draw_following(canvas: Canvas, selection: SelectionRecord, x: float, y: float) -> None:
    canvas.dot(x, y, color=COLORS[1], is_open=True)
    canvas.dot(_WIDTH - 80, 9, color=COLORS[1], is_open=True)
    canvas.text(_WIDTH - 72, 12, "first left out" if _is_of_first_ranks(selection) else "next rank")


def _ranking_alternative(selection: SelectionRecord) -> str:
    if not selection.scores:
        return "No group was chosen."
    first, last = (f"{selection.names[place]} with {selection.scores[place]:.4g}" for place in (0, -1))
    number = wording.count(len(selection.scores), "group")
    if len(selection.scores) < selection.num_selected:
        number = f"The first {len(selection.scores)} of {selection.num_selected} groups"
    if not _is_of_first_ranks(selection):
        number += f" of rank {selection.ranks[0]} to {selection.ranks[-1]}"
    if selection.margin is None or len(selection.scores) < selection.num_selected:
        return f"{number}, from {first} to {last}."
    following = "first group left out" if _is_of_first_ranks(selection) else "next group"
    return f"{number}, from {first} to {last}; the {following} is {selection.margin:.3g} lower."


def _is_of_first_ranks(selection: SelectionRecord) -> bool:
    return selection.ranks[:1] in ((), (1,))


def _lists_every_rank(selection: SelectionRecord) -> bool:
    first = selection.ranks[0] if selection.ranks else 0
    is_whole = 0 < len(selection.ranks) == selection.num_selected
    return is_whole and selection.ranks[-1] - first == len(selection.ranks) - 1
