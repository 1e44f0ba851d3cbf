"""What the figures of all ablations share: their look, an axis in %, and a logarithmic one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pretrieve.ablations.svg import INK, MARKERS, empty_figure
from pretrieve_dashboards.svg_canvas import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_STEPS = 8


def new_figure(*, height_in: float, percent_axis: Literal["x", "y"]) -> tuple[Figure, Axes]:
    """Make a figure of one pair of axes, of which `percent_axis` ("x" or "y") goes from 0 to 100%.

    To be called, as all functions here, within `pretrieve.ablations.svg.figure_settings`.
    """
    figure, axes = empty_figure(height_in=height_in)
    # Whatever style matplotlib is set to: the dark ink is to stand on white where nothing else is known.
    figure.set_facecolor("white")
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(axis=percent_axis, color=INK, alpha=0.15, linewidth=0.6)
    axes.set(**{f"{percent_axis}lim": (-2.0, 102.0), f"{percent_axis}ticks": range(0, 101, 20)})
    return figure, axes


def draw_line(axes: Axes, place: int, xs: Sequence[float], fractions: Sequence[float], *, label: str) -> None:
    """Draw one curve in %; its place among the curves decides colour and marker."""
    axes.plot(
        xs,
        [100 * fraction for fraction in fractions],
        color=COLORS[place % len(COLORS)],
        marker=MARKERS[place % len(MARKERS)],
        markersize=4.0,
        linewidth=1.6,
        label=label,
    )


def use_log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic, and mark values that were computed, as many as leave room for their numbers.

    Args:
      axes: already drawn on.
      values: of x, > 0, ascending.
    """
    marked = spread_out(values, most_steps=_MOST_STEPS)
    axes.set_xscale("log")
    axes.set_xticks(marked, [_brief(value) for value in marked])
    axes.set_xticks([], minor=True)


def _brief(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.2g}"


def spread_out(values: Sequence[float], *, most_steps: int) -> list[float]:
    """Choose values, from the first on, that lie no closer on a logarithmic axis than its whole length / most_steps.

    Args:
      values: > 0, ascending, at least one.
      most_steps: ≥ 1.

    >>> spread_out([0.01, 0.011, 0.1, 1.0], most_steps=8)
    [0.01, 0.1, 1.0]
    """
    # A hair less than the even step, or rounding would throw out every value of an even grid.
    step = (values[-1] / values[0]) ** (1 / most_steps) * (1 - 1e-9)
    chosen = [values[0]]
    for value in values[1:]:
        if value >= step * chosen[-1]:
            chosen.append(value)
    return chosen


def finish(figure: Figure, *, num_columns: int) -> Figure:
    """Name the curves above the axes, where the names hide nothing, in so many columns, and fix the layout."""
    figure.legend(
        loc="outside upper left",
        ncols=num_columns,
        frameon=False,
        labelcolor=INK,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.2,
    )
    # A layout made anew starts from the last one: a figure drawn twice would not come out the same.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
