"""Figures of the paper's experiments: curves over a factor, and the mass of selected groups by rank (figure 2b)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pretrieve_dashboards.paper_comparison import Value
from pretrieve_dashboards.svg_canvas import Canvas, Legend, Scale, color_of, draw_axes, padded, round_ticks, text_width

WIDE_RANGE = 100.0
"""The x axis is logarithmic if the largest x is at least this many times the smallest."""

_WIDTH, _HEIGHT, _BOTTOM = 340.0, 190.0, 30.0


@dataclass(frozen=True)
class Curve:
    """A curve with a value for each x, or None where the value is unknown."""

    name: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True)
class Level:
    """A value that does not depend on x, such as a baseline."""

    name: str
    value: Value


def draw_curves(
    title: str,
    xs: Sequence[float],
    curves: Sequence[Curve],
    levels: Sequence[Level] = (),
    *,
    x_label: str,
    y_label: str,
) -> str:
    """Draw curves in %, each with its 95% intervals, as SVG. The x axis is logarithmic if x has a wide range.

    `xs` ascends. Unknown values are left out; levels are dashed lines. The text alternative lists every number.
    """
    names = [*(curve.name for curve in curves), *(level.name for level in levels)]
    legend, canvas = Legend(names, _WIDTH), Canvas(_WIDTH, _HEIGHT)
    known = [value for curve in curves for value in curve.values if value] + [level.value for level in levels]
    ends = [100 * (value.mean + sign * (value.ci95 or 0.0)) for value in known for sign in (-1, 1)]
    up = Scale(*padded(ends), _HEIGHT - _BOTTOM, legend.height + 8)
    y_ticks = up.ticks()
    is_log = bool(xs) and xs[0] > 0 and xs[-1] / xs[0] >= WIDE_RANGE
    at = [math.log(x) if is_log else x for x in xs]
    across = Scale(min(at, default=0.0), max(at, default=1.0), 14 + max(map(text_width, y_ticks.values())), _WIDTH - 14)
    x_ticks = {place: f"{x:g}" for place, x in zip(at, xs, strict=True)}
    draw_axes(canvas, across, up, x_ticks=x_ticks, y_ticks=y_ticks, label=f"{x_label}; {y_label}")
    for number, curve in enumerate(curves):
        points = [(across(x), value) for x, value in zip(at, curve.values, strict=True) if value is not None]
        canvas.line([(x, up(100 * value.mean)) for x, value in points], color=color_of(number), width=1.6)
        for x, value in points:
            ends = [up(100 * (value.mean + sign * (value.ci95 or 0.0))) for sign in (1, -1)]
            canvas.line([(x, y) for y in ends], color=color_of(number))
            canvas.mark(x, up(100 * value.mean), number)
    for number, level in enumerate(levels, start=len(curves)):
        y = up(100 * level.value.mean)
        canvas.line([(across.start, y), (across.end, y)], color=color_of(number), width=1.4, dash="5 3")
    legend.draw(canvas, canvas.mark)
    return canvas.write(title=title, alternative=_alternative(list(x_ticks.values()), curves, levels))


def _alternative(labels: Sequence[str], curves: Sequence[Curve], levels: Sequence[Level]) -> str:
    parts = []
    for curve in curves:
        known = [f"{label}: {value.to_text()}" for label, value in zip(labels, curve.values, strict=True) if value]
        parts.append(f"{curve.name}: {', '.join(known) or 'nothing yet'}")
    parts += [f"{level.name}: {level.value.to_text()} throughout" for level in levels]
    return "; ".join(parts) + "."


def draw_ranked_groups(title: str, groups: Sequence[int], masses: Sequence[float], expected: Collection[int]) -> str:
    """Draw the mass P·1 of each selected group as SVG, best first. The expected groups have another colour."""
    legend, canvas = Legend(("expected", "other"), _WIDTH), Canvas(_WIDTH, _HEIGHT)
    up = Scale(0.0, max(masses, default=1.0), _HEIGHT - _BOTTOM, legend.height + 8)
    y_ticks = up.ticks()
    across = Scale(0.5, len(groups) + 0.5, 14 + max(map(text_width, y_ticks.values())), _WIDTH - 10)
    x_ticks = {rank: f"{rank:g}" for rank in round_ticks(1, max(1, len(groups)), at_most=8, whole=True)}
    draw_axes(canvas, across, up, x_ticks=x_ticks, y_ticks=y_ticks, label="rank of the group; similarity P·1")
    for rank, (group, mass) in enumerate(zip(groups, masses, strict=True), start=1):
        index, opacity = (0, 1.0) if group in expected else (1, 0.55)
        x, width = across(rank - 0.4), across(rank + 0.4) - across(rank - 0.4)
        canvas.box(x, up(mass), width, up.start - up(mass), color=color_of(index), opacity=opacity)
    legend.draw(canvas, lambda x, y, index: canvas.box(x - 3, y - 4, 7, 7, color=color_of(index)))
    ranks = [rank for rank, group in enumerate(groups, start=1) if group in expected]
    found = f"{len(ranks)} of {len(expected)} expected groups are among the first {len(groups)}"
    last = f"; the last one has rank {ranks[-1]}" if ranks else ""
    return canvas.write(title=title, alternative=f"{found}{last}.")
