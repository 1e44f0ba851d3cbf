"""What every ablation of the selection returns (section 4.4): a table and a figure, without fine-tuning anything."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pretrieve_selection import SelectionInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A file of its own has no text around it to take the colour of. Within a page it is not the root: the page decides.
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
"""Stands for currentColor, which matplotlib does not know."""

# Each is at least 3 : 1 on white and on near-black; the marker tells the curves apart without colour.
COLORS = ("#2f81d6", "#d0661a", "#1a9273", "#b05cc4", "#c94f4f", "#8a7a1f", "#6f7a86")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")


@dataclass(frozen=True, eq=False)
class Ablation:
    """The answer to one question about the selection.

    Attributes:
      title: what was asked; it names the files, so `dataclasses.replace` gives another where two of one kind are to
        lie in one folder.
      table: all numbers, one row a selection; shares are fractions in [0, 1].
      figure: the same, drawn; shares in %.

    Raises:
      SelectionInputError: the title has no letter or digit to name a file by.
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
        """Write the table as CSV and the figure as SVG and PNG, each file whole or not at all.

        The SVG follows the reader's choice of dark or light, and takes the page's colours where it is pasted into one.
        The same ablation gives the same bytes.

        Args:
          folder: where to; made where it is missing.

        Returns:
          The paths of the three files, the table's first.

        Raises:
          OSError: the folder cannot be made or written to.
        """
        picture = io.BytesIO()
        with figure_settings():
            self.figure.savefig(picture, format="png", dpi=_PNG_DOTS_PER_INCH)
        contents = {
            "csv": self.table.to_csv(index=False, lineterminator="\n").encode(),
            "svg": _with_style(self._svg()).encode(),
            "png": picture.getvalue(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_write_whole(folder / f"{self.slug}.{suffix}", content) for suffix, content in contents.items())

    def _svg(self) -> str:
        with figure_settings():
            return _write_svg(self.figure, title=self.title, alternative=_in_words(self.table))

    def _repr_html_(self) -> str:
        """Show the figure above its table in a notebook."""
        figure = f'<div style="max-width: 40em">{self._svg()}</div>'
        return f"<h4>{escape(self.title)}</h4>{figure}{self.table.to_html(index=False)}"


def _write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the old content or the new, and return its path."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_svg(figure: Figure, *, title: str, alternative: str) -> str:
    """Write the figure without a file's header, in the colour of the text around it, named for screen readers."""
    text = io.StringIO()
    # Ids of several figures meet in one page: they are salted with what the figure shows.
    with matplotlib.rc_context({"svg.hashsalt": title}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, count=1, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = drawn.replace(INK, "currentColor")
    drawn = re.sub(r"font-family: [^;\"]*", f"font-family: {_FONTS}", drawn)
    # Two decimals of a point are all that a screen or a printer shows.
    drawn = re.sub(r"(\d\.\d{2})\d+", r"\1", drawn)
    label = escape(f"{title}. {alternative}", quote=True)
    # A style element would hold for the whole page; without a size of its own the figure takes its place's.
    drawn = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", drawn, count=1, flags=re.DOTALL)
    drawn = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", drawn, count=1)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _with_style(svg: str) -> str:
    end_of_tag = svg.index(">") + 1
    return svg[:end_of_tag] + _FILE_STYLE + svg[end_of_tag:]


def _in_words(table: pd.DataFrame) -> str:
    """Say every number of the table, for those who cannot see the figure."""
    rows = (", ".join(f"{column} {_short(value)}" for column, value in row.items()) for row in table.to_dict("records"))
    return "; ".join(rows) + "."


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def check_expected_ids(expected_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the ids in ascending order, each once, or say why they are none."""
    ids = np.asarray(list(expected_ids))
    if not ids.size:
        raise SelectionInputError("expected_ids must hold at least one id, but is empty; list what is to be found")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise SelectionInputError(
            f"expected_ids must be integers, but are {ids.dtype} of shape {ids.shape}; give indices, not names"
        )
    return tuple(np.unique(ids).tolist())


@contextmanager
def figure_settings() -> Iterator[None]:
    """Apply the settings of the ablations' figures to what is drawn inside, and to nothing else."""
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # The page's fonts draw the text; what matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def new_figure(*, height_in: float, percent_axis: Literal["x", "y"]) -> tuple[Figure, Axes]:
    """Make a figure of one pair of axes, of which `percent_axis` ("x" or "y") goes from 0 to 100%.

    To be called, as `draw_line`, `use_log_axis` and `finish` are, within `figure_settings`.
    """
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(colors=INK, length=3)
    for name in ("left", "bottom"):
        axes.spines[name].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
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
