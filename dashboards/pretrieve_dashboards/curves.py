"""Curves over a factor: scores or recalls along a series, with intervals and level lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pretrieve_dashboards.comparison import Value
from pretrieve_dashboards.figures import COLORS, MARKERS
from pretrieve_dashboards.svg import INK, empty_figure, figure_settings, write_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
      name: for the legend.
      values: one for each x; None where it is not known.
    """

    name: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True)
class Level:
    """A line that does not depend on x, such as a baseline.

    Attributes:
      name: for the legend.
      value: its height.
    """

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
    tick_labels: Sequence[str] | None = None,
    is_logarithmic: bool = False,
) -> str:
    """Draw curves in %, each with its 95% intervals.

    Args:
      title: what is shown, for screen readers.
      xs: of the curves, ascending; > 0 on a logarithmic axis.
      curves: the lines; what is not known is left out.
      levels: drawn dashed from end to end.
      x_label: of the axis.
      y_label: of the axis.
      tick_labels: one for each x; None: the numbers themselves.
      is_logarithmic: of the x axis.

    Returns:
      SVG with a text alternative that lists every number.
    """
    with figure_settings():
        figure, axes = empty_figure(height_in=2.9)
        for place, curve in enumerate(curves):
            _draw_curve(axes, xs, curve, place)
        for place, level in enumerate(levels, start=len(curves)):
            color = COLORS[place % len(COLORS)]
            axes.axhline(100 * level.value.mean, color=color, linewidth=1.4, linestyle="--", label=level.name)
        if is_logarithmic:
            axes.set_xscale("log")
        labels = list(tick_labels) if tick_labels is not None else [f"{x:g}" for x in xs]
        axes.set_xticks(list(xs), labels)
        axes.set_xticks([], minor=True)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        if curves or levels:
            figure.legend(loc="outside upper left", ncols=3, frameon=False, labelcolor=INK, handlelength=1.6)
        return write_svg(figure, title=title, alternative=_in_words(labels, curves, levels))


def _draw_curve(axes: Axes, xs: Sequence[float], curve: Curve, place: int) -> None:
    known = [(x, value) for x, value in zip(xs, curve.values, strict=True) if value is not None]
    axes.errorbar(
        [x for x, _ in known],
        [100 * value.mean for _, value in known],
        yerr=[100 * (value.ci95 or 0.0) for _, value in known],
        color=COLORS[place % len(COLORS)],
        marker=MARKERS[place % len(MARKERS)],
        markersize=4.0,
        linewidth=1.6,
        elinewidth=0.8,
        label=curve.name,
    )


def _in_words(labels: Sequence[str], curves: Sequence[Curve], levels: Sequence[Level]) -> str:
    parts = []
    for curve in curves:
        known = [f"{label}: {value.to_text()}" for label, value in zip(labels, curve.values, strict=True) if value]
        parts.append(f"{curve.name}: {', '.join(known) or 'nothing yet'}")
    parts += [f"{level.name}: {level.value.to_text()} throughout" for level in levels]
    return "; ".join(parts) + "."
