"""The result of an ablation of the selection (section 4.4): a table and a figure, written as CSV, SVG and PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from pretrieve_selection import SelectionInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# An SVG file has no page whose colours it could use. Within a page it is not the root, and the page's colours apply.
_FILE_STYLE = (
    "<style>svg:root { color: #1b1f24; background: #ffffff }"
    " @media (prefers-color-scheme: dark) { svg:root { color: #e6e9ec; background: #14171a } }</style>"
)

_PNG_DOTS_PER_INCH = 200
_MOST_STEPS = 8
_WIDTH_IN = 4.6
_FONTS = "system-ui, sans-serif"
_RC: dict[Any, Any] = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9.0, "font.family": "sans-serif"}

INK = "#010203"
"""A placeholder for currentColor, which matplotlib does not know."""

_SVG_CHANGES = (
    (re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL), ""),
    (re.compile(r'<g id="[^"]*"'), "<g"),
    (re.compile(r"font-family: [^;\"]*"), f"font-family: {_FONTS}"),
    (re.compile(r"(\d\.\d{2})\d+"), r"\1"),  # a screen or a printer shows no more than two decimals of a point
    (re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL), ""),  # it would apply to the whole page
    # Without width and height the figure fits into its container.
    (re.compile(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"'), r"\1"),
)

# Each colour has a contrast of at least 3 : 1 on white and on near-black. Markers also distinguish the curves.
COLORS = ("#2f81d6", "#d0661a", "#1a9273", "#b05cc4", "#c94f4f", "#8a7a1f", "#6f7a86")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")


@dataclass(frozen=True, eq=False)
class Ablation:
    """The answer to one question about the selection.

    Attributes:
      title: the question. It also names the files, so a SelectionInputError is raised unless it has a letter or digit.
        Use `dataclasses.replace` for another title, to write two ablations of one kind into one folder.
      table: all numbers, one row for each selection; shares are fractions in [0, 1].
      figure: the same numbers as curves or dots; shares in %.
    """

    title: str
    table: pd.DataFrame
    figure: Figure

    def __post_init__(self) -> None:
        if not self.slug:
            raise SelectionInputError(
                f"title must hold a letter or a digit, for it names the files, but is {self.title!r}; say what is asked"
            )

    @property
    def slug(self) -> str:
        """The title as the name of a file: lower-case words, joined by hyphens."""
        return re.sub(r"[\W_]+", "-", self.title.lower()).strip("-")

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write the table as CSV and the figure as SVG and PNG, each file whole or not at all; return the paths.

        The folder is made where it is missing. The SVG follows the reader's choice of dark or light, and uses the
        page's colours where it is pasted into a page. The same ablation gives the same bytes.

        Raises:
          OSError: the folder cannot be made or written to.
        """
        picture = io.BytesIO()
        with _figure_settings():
            self.figure.savefig(picture, format="png", dpi=_PNG_DOTS_PER_INCH)
        contents = {
            "csv": self.table.to_csv(index=False, lineterminator="\n").encode(),
            "svg": re.sub(r"(<svg[^>]*>)", rf"\1{_FILE_STYLE}", self._svg(), count=1).encode(),
            "png": picture.getvalue(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_write_whole(folder / f"{self.slug}.{suffix}", content) for suffix, content in contents.items())

    def _svg(self) -> str:
        """Return the figure as an SVG element in the colour of the text around it, with a label for screen readers."""
        text = io.StringIO()
        # Several figures can be in one page, so their ids depend on what the figure shows.
        with _figure_settings(), matplotlib.rc_context({"svg.hashsalt": self.title}):
            self.figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        drawn = text.getvalue()
        drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
        for pattern, replacement in _SVG_CHANGES:
            drawn = pattern.sub(replacement, drawn)
        label = escape(f"{self.title}. {_in_words(self.table)}", quote=True)
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def _repr_html_(self) -> str:
        """Show the figure above its table in a notebook."""
        figure = f'<div style="max-width: 40em">{self._svg()}</div>'
        return f"<h4>{escape(self.title)}</h4>{figure}{self.table.to_html(index=False)}"


def _write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees either the old content or the new."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _in_words(table: pd.DataFrame) -> str:
    """Return every number of the table as text, for readers who cannot see the figure."""
    rows = (
        ", ".join(f"{column} {f'{value:.4g}' if isinstance(value, float) else value}" for column, value in row.items())
        for row in table.to_dict("records")
    )
    return "; ".join(rows) + "."


@contextmanager
def percent_figure(
    *, height_in: float, percent_axis: Literal["x", "y"], legend_columns: int
) -> Iterator[tuple[Figure, Axes]]:
    """Make a figure of one pair of axes, of which `percent_axis` goes from 0 to 100%.

    What is drawn within this context gets a legend above the axes at the end, and the layout is fixed.
    """
    with _figure_settings():
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.tick_params(colors=INK, length=3)
        for name in ("left", "bottom"):
            axes.spines[name].set_color(INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        # The ink is dark, so the background is white whatever style matplotlib is set to.
        figure.set_facecolor("white")
        axes.set_facecolor("none")
        axes.set_axisbelow(True)
        axes.grid(axis=percent_axis, color=INK, alpha=0.15, linewidth=0.6)
        axes.set(**{f"{percent_axis}lim": (-2.0, 102.0), f"{percent_axis}ticks": range(0, 101, 20)})
        yield figure, axes
        legend: dict[str, Any] = {"handlelength": 1.6, "handletextpad": 0.5, "columnspacing": 1.2, "frameon": False}
        figure.legend(loc="outside upper left", ncols=legend_columns, labelcolor=INK, **legend)
        # A new layout would start from the last one, and a figure that is drawn twice would change.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


@contextmanager
def _figure_settings() -> Iterator[None]:
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # The page's fonts draw the text, so glyphs that matplotlib's own font lacks do not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def draw_line(axes: Axes, index: int, xs: Sequence[float], fractions: Sequence[float], *, label: str) -> None:
    """Draw one curve in %; its index among the curves decides colour and marker."""
    axes.plot(
        xs,
        [100 * fraction for fraction in fractions],
        color=COLORS[index % len(COLORS)],
        marker=MARKERS[index % len(MARKERS)],
        markersize=4.0,
        linewidth=1.6,
        label=label,
    )


def use_log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic after drawing, and mark those of the values, > 0 and ascending, whose numbers fit."""
    marked = spread_out(values, most_steps=_MOST_STEPS)
    axes.set_xscale("log")
    axes.set_xticks(marked, [f"{value:.0f}" if value == round(value) else f"{value:.2g}" for value in marked])
    axes.set_xticks([], minor=True)


def spread_out(values: Sequence[float], *, most_steps: int) -> list[float]:
    """Choose values, the first included, whose distance on a logarithmic axis is at least its length / most_steps.

    The values are > 0 and ascending, at least one; most_steps is ≥ 1.

    >>> spread_out([0.01, 0.011, 0.1, 1.0], most_steps=8)
    [0.01, 0.1, 1.0]
    """
    # Slightly less than the even step, because otherwise rounding would leave values of an even grid out.
    step = (values[-1] / values[0]) ** (1 / most_steps) * (1 - 1e-9)
    chosen = [values[0]]
    for value in values[1:]:
        if value >= step * chosen[-1]:
            chosen.append(value)
    return chosen
