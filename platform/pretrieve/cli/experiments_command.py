"""`pretrieve experiments`: the paper's tables and figures that can be run, and how large they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.study_argument import make_console

if TYPE_CHECKING:
    from pretrieve.experiments._base import Series


def experiments(
    mini: Annotated[bool, typer.Option("--mini", help="Of the miniatures, not of the paper's size.")] = False,
) -> None:
    """List the experiments of the paper: what each asks, its study files, and how many trials and refits it plans.

    `pretrieve reproduce NAME` runs one, `pretrieve reproduce NAME --mini` its miniature.
    """
    from rich.table import Table
    from rich.text import Text

    from pretrieve.experiments.catalogue import EXPERIMENTS
    from pretrieve.experiments.study_files import studies_folder

    table = Table(show_edge=False, pad_edge=False)
    headings = ("name", "place", "question", "study files", "studies", "trials", "refits")
    for heading in headings:
        is_number = heading in ("studies", "trials", "refits")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for experiment in EXPERIMENTS.values():
        series = experiment.series(is_mini=mini)
        files = dict.fromkeys(point.file for point in series.points)
        counts = (len(series.studies), *_counts(series))
        row = [
            experiment.name,
            experiment.place,
            experiment.question,
            "\n".join(files),
            *(str(n or "–") for n in counts),
        ]
        table.add_row(*map(Text, row))
    console = make_console()
    console.print(table)
    console.print(Text(f"study files lie in {studies_folder()}"), soft_wrap=True)


def _counts(series: Series) -> tuple[int, int]:
    """Count trials and refits; a file that is missing or broken spoils its own row alone."""
    from pretrieve.errors import UserError
    from pretrieve.experiments.study_files import count_trials

    try:
        return count_trials(series)
    except UserError:
        return 0, 0
