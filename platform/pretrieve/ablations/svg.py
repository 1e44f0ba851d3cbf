"""Figures as SVG text, drawn with matplotlib's objects and none of its global state."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from pretrieve_dashboards.svg_canvas import FONTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for currentColor, which matplotlib does not know."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""They tell curves apart without colour."""

_WIDTH_IN = 4.6
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "font.family": "sans-serif",
}


@contextmanager
def figure_settings() -> Iterator[None]:
    """Apply this module's matplotlib settings to what is drawn inside, and to nothing else."""
    import matplotlib

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # The page's fonts draw the text; what matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def empty_figure(*, height_in: float) -> tuple[Figure, Axes]:
    """Make a figure of the common width with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(colors=INK, length=3)
    for name in ("left", "bottom"):
        axes.spines[name].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def write_svg(figure: Figure, *, title: str, alternative: str) -> str:
    """Write the figure without a file's header, in the colour of the text around it, named for screen readers."""
    import matplotlib

    text = io.StringIO()
    # Ids of several figures meet in one page: they are salted with what the figure shows.
    with matplotlib.rc_context({"svg.hashsalt": title}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, count=1, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = drawn.replace(INK, "currentColor")
    drawn = re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", drawn)
    # Two decimals of a point are all that a screen or a printer shows.
    drawn = re.sub(r"(\d\.\d{2})\d+", r"\1", drawn)
    label = escape(f"{title}. {alternative}", quote=True)
    # A style element would hold for the whole page; without a size of its own the figure takes its place's.
    drawn = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", drawn, count=1, flags=re.DOTALL)
    drawn = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", drawn, count=1)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
