"""Figures as SVG text, written directly: a report holds hundreds of figures, so each must take only milliseconds.

A figure needs no other file. It has the colour of the text around it, on dark and on light pages, and no fixed size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

INK = "currentColor"
ACCENT = "#2f81d6"
SECOND = "#d0661a"
COLORS = (ACCENT, SECOND, "#1a9273", "#b05cc4", "#c94f4f", "#8a7a1f", "#6f7a86")
"""Colours of methods and curves, in order. Each has a contrast of at least 3 : 1 on white and on near-black."""
Point = tuple[float, float]
FONT_SIZE = 9.0
FONTS = "system-ui, sans-serif"
CHARACTER_WIDTH = 5.2
"""Width of an average character at FONT_SIZE. It is rather wide, because the font depends on the reader's system."""


class Canvas:
    """Collects the parts of a figure. Its width and height are in units in which text is FONT_SIZE high."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def line(
        self, points: Sequence[Point], *, color: str = INK, width: float = 1.0, opacity: float = 1.0, dash: str = ""
    ) -> None:
        """Draw a line through points. A single point shows nothing."""
        path = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        seen = f' stroke-opacity="{_short(opacity)}"' if opacity < 1 else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{_short(width)}"{seen}{dashed}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, *, color: str = INK, opacity: float = 1.0) -> None:
        seen = f' fill-opacity="{_short(opacity)}"' if opacity < 1 else ""
        self._parts.append(
            f'<rect x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(height)}" '
            f'fill="{color}"{seen}/>'
        )

    def dot(self, x: float, y: float, *, radius: float = 2.5, color: str = INK, is_open: bool = False) -> None:
        """Draw a disc, or a ring if `is_open`."""
        paint = f'fill="none" stroke="{color}"' if is_open else f'fill="{color}"'
        self._parts.append(f'<circle cx="{_short(x)}" cy="{_short(y)}" r="{_short(radius)}" {paint}/>')

    def mark(self, x: float, y: float, index: int, *, size: float = 2.6) -> None:
        """Draw the mark of a method or curve: one of seven shapes, so that colour is not the only difference."""
        corners = _SHAPES[index % len(_SHAPES)]
        points = " ".join(f"{_short(x + size * across)},{_short(y + size * down)}" for across, down in corners)
        self._parts.append(f'<polygon points="{points}" fill="{color_of(index)}"/>')

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", opacity: float = 1.0, bold: bool = False
    ) -> None:
        """Write words. `anchor` says which part of them is at `x`: `start`, `middle` or `end`."""
        anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
        seen = f' fill-opacity="{_short(opacity)}"' if opacity < 1 else ""
        weight = ' font-weight="700"' if bold else ""
        self._parts.append(f'<text x="{_short(x)}" y="{_short(y)}"{anchored}{seen}{weight}>{escape(words)}</text>')

    def write(self, *, title: str, alternative: str) -> str:
        """Return the SVG. Screen readers read its title and `alternative`, which says in words what it shows."""
        label = escape(f"{title}. {alternative}", quote=True)
        return (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {_short(self.width)} {_short(self.height)}" '
            f'xmlns="http://www.w3.org/2000/svg"><g font-family="{FONTS}" font-size="{_short(FONT_SIZE)}" '
            f'fill="{INK}">{"".join(self._parts)}</g></svg>'
        )


_ARM = ((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4))
_PLUS = [(a * x - b * y, b * x + a * y) for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1)) for x, y in _ARM]
_SHAPES: Sequence[Sequence[Point]] = (
    [(math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16)],
    [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    [(0, -1.2), (1.2, 1), (-1.2, 1)],
    [(0, 1.2), (1.2, -1), (-1.2, -1)],
    _PLUS,
    [((x - y) * 0.7, (x + y) * 0.7) for x, y in _PLUS],
)
"""Circle, square, diamond, triangle, inverted triangle, plus and cross, each with a radius of about 1."""


def color_of(index: int) -> str:
    """Return the colour of a method or curve. Colours repeat after the last one."""
    return COLORS[index % len(COLORS)]


class Scale(NamedTuple):
    """Linear map from values to coordinates: `low` to `start`, `high` to `end`, and to the middle if they are equal."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def clamp(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def ticks(self, at_most: int = 5, *, whole: bool = False) -> dict[float, str]:
        """Return the values of `round_ticks` with their labels."""
        return {tick: f"{tick:g}" for tick in round_ticks(self.low, self.high, at_most=at_most, whole=whole)}


def draw_axes(
    canvas: Canvas, across: Scale, up: Scale, *, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], label: str
) -> None:
    """Draw the x axis, the labelled ticks of both axes, and at the bottom right `label`, which names the axes."""
    for value, word in y_ticks.items():
        canvas.line([(across.start, up(value)), (across.end, up(value))], width=0.6, opacity=0.15)
        canvas.text(across.start - 4, up(value) + 3, word, anchor="end")
    for value, word in x_ticks.items():
        canvas.line([(across(value), up.start), (across(value), up.start + 3)], opacity=0.7)
        canvas.text(across(value), up.start + 13, word, anchor="middle")
    canvas.line([(across.start, up.start), (across.end, up.start)], opacity=0.7)
    canvas.text(across.end, up.start + 25, label, anchor="end", opacity=0.8)


def draw_columns(canvas: Canvas, across: Scale, ticks: Mapping[float, str], top: float, bottom: float) -> None:
    """Draw thin vertical lines with words below them. The line at 0 is stronger."""
    for value, word in ticks.items():
        opacity = 0.6 if value == 0 else 0.15
        canvas.line([(across(value), top), (across(value), bottom + 3)], width=0.6, opacity=opacity)
        canvas.text(across(value), bottom + 13, word, anchor="middle")


def padded(values: Sequence[float], *, at_least: float = 0.0) -> tuple[float, float]:
    """Extend the range of values (0 to 100 if there are none) on both sides by 5%, or by `at_least` if that is more."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    margin = max(at_least, 0.05 * (high - low)) or 1.0
    return low - margin, high + margin


class Legend:
    """Names with a sample beside each, in as many rows as they need at this width."""

    def __init__(self, names: Sequence[str], width: float) -> None:
        self._entries: list[tuple[str, float, float]] = []
        x, y = 4.0, 10.0
        for name in names:
            if x > 4.0 and x + 14 + text_width(name) > width:
                x, y = 4.0, y + 12.0
            self._entries.append((name, x, y))
            x += 22 + text_width(name)
        self.height = y + 4 if names else 0.0

    def draw(self, canvas: Canvas, sample: Callable[[float, float, int], None]) -> None:
        """Draw the names. `sample(x, y, index)` draws the sample of a name around (x, y)."""
        for index, (name, x, y) in enumerate(self._entries):
            sample(x + 3, y - 3, index)
            canvas.text(x + 11, y, name)


def round_ticks(low: float, high: float, *, at_most: int = 5, whole: bool = False) -> tuple[float, ...]:
    """Choose round values from `low` to `high`, with `at_most` intervals; integers if `whole`.

    >>> round_ticks(0.0, 10.0, at_most=5), round_ticks(1, 4, whole=True)
    ((0.0, 2.0, 4.0, 6.0, 8.0, 10.0), (1.0, 2.0, 3.0, 4.0))
    """
    span = high - low
    if span <= 0:
        return (low,)
    exact = span / at_most
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= exact * (1 - 1e-9))
    step = max(1.0, float(round(step))) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(float(f"{number * step:.10g}") for number in range(first, last + 1))


def tick_words(ticks: Sequence[float]) -> list[str]:
    """Write ticks with as many decimals as are needed to distinguish them, at least one.

    >>> tick_words((0.0, 1.0)), tick_words((-0.25, -0.2))
    (['0.0', '1.0'], ['-0.25', '-0.20'])
    """
    step = min((after - before for before, after in pairwise(ticks)), default=0.1)
    decimals = next((number for number in range(1, 7) if abs(step * 10**number - round(step * 10**number)) < 1e-6), 0)
    return [f"{tick:.{decimals}f}" if decimals else f"{tick:.6g}" for tick in ticks]


def text_width(words: str) -> float:
    """Estimate the width of words at FONT_SIZE."""
    return CHARACTER_WIDTH * len(words)


def cut(words: str, length: int) -> str:
    """Shorten a name that would take too much of the figure. The text alternative has the whole name.

    >>> cut("a long name", 6), cut("name", 6)
    ('a lon…', 'name')
    """
    return words if len(words) <= length else words[: length - 1] + "…"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if abs(number) >= 10 else f"{number:.2f}".rstrip("0").removesuffix(".")
