"""What every command about a study takes: its file, replaced settings, and where its folder lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pretrieve.study.study import Study

PIPE_WIDTH = 120

StudyFile = Annotated[Path, typer.Argument(help="A study file (YAML).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a setting, value in YAML: `--set grid.lr=[0.1,0.01]`."),
]
Storage = Annotated[
    Path | None,
    typer.Option(help="Folder of studies and caches. Default: `pretrieve-runs` here, or what the study file says."),
]


def load_study_argument(file: Path, overrides: list[str] | None, storage: Path | None) -> Study:
    """Read the study that a command names.

    Raises:
      UserError: the file or a setting is wrong.
    """
    from pretrieve.study.study import Study

    words = list(overrides or [])
    if storage is not None:
        words.append(f"storage={storage.expanduser().absolute()}")
    return Study.from_file(file, overrides=words)


def make_console() -> Console:
    """Make a console; where there is no terminal to measure, wide enough for methods as rows and eight targets."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=max(terminal.width, PIPE_WIDTH))
