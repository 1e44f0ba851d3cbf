"""The command line: `pretrieve demo | run | report | select | targets | ui`; heavy imports are inside commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.select_command import select

if TYPE_CHECKING:
    from rich.console import Console

    from pretrieve.study.study import Study

PIPE_WIDTH = 120

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fine-tune on a small target together with the right part of the pre-training data.\n\n"
    "Start with `pretrieve demo`: the paper's table in miniature, in minutes, with nothing to download. "
    "Then write a study file and `pretrieve run` it; running it again resumes it.",
)

app.command()(select)

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a setting, value in YAML: `--set grid.lr=[0.1,0.01]`."),
]
Storage = Annotated[
    Path | None,
    typer.Option(help="Folder of studies and caches. Default: `pretrieve-runs` here, or what the study file says."),
]


@app.command()
def demo(overrides: Overrides = None, storage: Storage = None) -> None:
    """Run the built-in study: 8 targets × 4 methods on rendered characters and real digits."""
    from pretrieve.demo import STUDY_FILE

    _run(STUDY_FILE, overrides, storage)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Overrides = None,
    storage: Storage = None,
) -> None:
    """Run what is missing of a study, then print its table.

    Uses the Ray cluster of RAY_ADDRESS, else this machine. Interrupted at any time, the same command goes on.
    """
    _run(study, overrides, storage)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Overrides = None,
    storage: Storage = None,
) -> None:
    """Write report.html and table.csv from what MLflow holds, finished or not, and print the table."""
    from pretrieve_dashboards import print_study, score_table, write_report

    loaded = _load(study, overrides, storage)
    record = loaded.record()
    path = loaded.settings.folder / "report.html"
    write_report(record, path)
    (loaded.settings.folder / "table.csv").write_text(score_table(record).to_csv(), encoding="utf-8")
    print_study(record, _console(), report_path=path)


@app.command()
def targets() -> None:
    """List the image sets that a study can name: built-in, of installed packages, registered."""
    from pretrieve.data.registry import registered_names

    for name in registered_names():
        typer.echo(name)
    typer.echo("\nA study file can also name a folder (`folder: /data/birds`) or a function (`my_module:my_target`).")


@app.command()
def ui(
    study: Annotated[
        Path | None, typer.Argument(help="A study file (YAML), or the folder of a study that ran. Default: the demo.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 5000,
    storage: Storage = None,
) -> None:
    """Open the MLflow UI of a study on loopback; ctrl-c ends it."""
    from pretrieve.demo import STUDY_FILE
    from pretrieve.tracking.ui_server import serve, sqlite_store

    if study is not None and study.is_dir():
        serve(sqlite_store(study), study.absolute(), port=port)
        return
    settings = _load(study or STUDY_FILE, None, storage).settings
    serve(settings.tracking(), settings.folder, port=port)


def _load(file: Path, overrides: list[str] | None, storage: Path | None) -> Study:
    from pretrieve.study.study import Study

    words = list(overrides or [])
    if storage is not None:
        words.append(f"storage={storage.expanduser().absolute()}")
    return Study.from_file(file, overrides=words)


def _console() -> Console:
    """Make a console; where there is no terminal to measure, wide enough for methods as rows and eight targets."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=max(terminal.width, PIPE_WIDTH))


def _run(file: Path, overrides: list[str] | None, storage: Path | None) -> None:
    from pretrieve.errors import TrialsFailedError
    from pretrieve_dashboards import print_study

    study = _load(file, overrides, storage)
    report_path = study.settings.folder / "report.html"
    try:
        record = study.run()
    except TrialsFailedError:
        print_study(study.record(), _console(), report_path=report_path)
        raise
    print_study(record, _console(), report_path=report_path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: a user's mistake is one message and status 2, failed trials are status 1.

    Args:
      arguments: the words after the program's name; None takes those of this process.
    """
    try:
        app(arguments)
    except Exception as error:
        status = _exit_status(error)
        if status is None:
            raise
        kind = f"{type(error).__name__}: " if isinstance(error, OSError) else ""
        typer.echo(f"error: {kind}{error}", err=True)
        sys.exit(status)


def _exit_status(error: Exception) -> int | None:
    """Tell a user's mistake (2) and a failed study (1) from a fault of the program (None: show the traceback)."""
    from pretrieve.errors import PretrieveError, UserError
    from pretrieve_dashboards.errors import DashboardError
    from pretrieve_selection import SelectionInputError

    if isinstance(error, UserError | SelectionInputError | DashboardError):
        return 2
    return 1 if isinstance(error, PretrieveError | OSError) else None


if __name__ == "__main__":
    main()
