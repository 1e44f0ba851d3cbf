"""`pretrieve experiments`: the paper's tables and figures that can be run, and how large they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.study_argument import Storage, make_console

if TYPE_CHECKING:
    from pathlib import Path

    from pretrieve.experiments._base import Series


def experiments(
    mini: Annotated[bool, typer.Option("--mini", help="Of the miniatures, not of the paper's size.")] = False,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Also what `pretrieve plan` says of each; needs the data, and takes minutes."),
    ] = False,
    storage: Storage = None,
) -> None:
    """List the experiments of the paper: what each asks, its study files, and how many trials and refits it plans.

    With `--cost` also the wall time and the GPU-hours of what is left of each, on the cluster at hand.

    `pretrieve reproduce NAME` runs one, `pretrieve reproduce NAME --mini` its miniature.
    """
    from rich.table import Table
    from rich.text import Text

    from pretrieve.experiments.catalogue import EXPERIMENTS
    from pretrieve.experiments.study_files import studies_folder

    table = Table(show_edge=False, pad_edge=False)
    numbers = ("studies", "trials", "refits", *(("wall time", "GPU-hours") if cost else ()))
    for heading in ("name", "place", "question", "study files", *numbers):
        is_number = heading in numbers
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    costs = _costs(mini, storage) if cost else {}
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
            *costs.get(experiment.name, ()),
        ]
        table.add_row(*map(Text, row))
    console = make_console()
    console.print(table)
    console.print(Text(f"study files lie in {studies_folder()}"), soft_wrap=True)


def _costs(is_mini: bool, storage: Path | None) -> dict[str, tuple[str, str]]:
    """Forecast the studies of each experiment on one cluster; data that are not there spoil their own rows alone."""
    from pretrieve.cluster import connected
    from pretrieve.errors import UserError
    from pretrieve.execution.measuring.speed import SpeedBook
    from pretrieve.experiments.catalogue import EXPERIMENTS
    from pretrieve.experiments.reproduction import cost_of_series
    from pretrieve_dashboards.wording import duration

    found: dict[str, tuple[str, str]] = {}
    book = SpeedBook()
    with connected():
        for experiment in EXPERIMENTS.values():
            typer.echo(f"forecasting {experiment.name} …", err=True)
            try:
                made = cost_of_series(experiment.series(is_mini=is_mini), book, is_mini=is_mini, storage=storage)
            except UserError as error:
                typer.echo(f"{experiment.name}: {error}", err=True)
                found[experiment.name] = ("–", "–")
            else:
                found[experiment.name] = duration(made.wall_s), f"{made.gpu_hours:.2f}"
    return found


def _counts(series: Series) -> tuple[int, int]:
    """Count trials and refits; a file that is missing or broken spoils its own row alone."""
    from pretrieve.errors import UserError
    from pretrieve.experiments.study_files import count_trials

    try:
        return count_trials(series)
    except UserError:
        return 0, 0
