"""What every ablation returns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pretrieve.ablations.svg import figure_settings, write_svg
from pretrieve.atomic_files import replacing
from pretrieve_selection import SelectionInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A file of its own has no text around it to take the colour of. Within a page it is not the root: the page decides.
_FILE_STYLE = (
    "<style>svg:root { color: #1b1f24; background: #ffffff }"
    " @media (prefers-color-scheme: dark) { svg:root { color: #e6e9ec; background: #14171a } }</style>"
)

_PNG_DOTS_PER_INCH = 200


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
        table, drawing, picture = (folder / f"{self.slug}.{suffix}" for suffix in ("csv", "svg", "png"))
        with replacing(table) as temporary:
            self.table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
        with replacing(drawing) as temporary:
            temporary.write_text(_with_style(self._svg()), encoding="utf-8")
        with replacing(picture) as temporary, figure_settings():
            self.figure.savefig(temporary, format="png", dpi=_PNG_DOTS_PER_INCH)
        return table, drawing, picture

    def _svg(self) -> str:
        with figure_settings():
            return write_svg(self.figure, title=self.title, alternative=_in_words(self.table))

    def _repr_html_(self) -> str:
        """Show the figure above its table in a notebook."""
        figure = f'<div style="max-width: 40em">{self._svg()}</div>'
        return f"<h4>{escape(self.title)}</h4>{figure}{self.table.to_html(index=False)}"


def _with_style(svg: str) -> str:
    end_of_tag = svg.index(">") + 1
    return svg[:end_of_tag] + _FILE_STYLE + svg[end_of_tag:]


def _in_words(table: pd.DataFrame) -> str:
    """Say every number of the table, for those who cannot see the figure."""
    rows = (", ".join(f"{column} {_short(value)}" for column, value in row.items()) for row in table.to_dict("records"))
    return "; ".join(rows) + "."


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
