"""The arguments of every command about a study: its file, overrides of its settings, and its storage folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.errors import UserError

if TYPE_CHECKING:
    from pretrieve.study.study import Study

StudyFile = Annotated[Path, typer.Argument(help="A study file (YAML).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a setting, value in YAML: `--set grid.lr=[0.1,0.01]`."),
]
Storage = Annotated[
    Path | None,
    typer.Option(help="Folder of studies and caches. Default: `pretrieve-runs` here, or what the study file says."),
]


def written_file(path: Path) -> Path:
    """Return the path of a file to write, with `~` and `$VARIABLE`s replaced, as the shell leaves them after a `=`.

    Raises:
      UserError: it is an address, or names an unknown user or variable.
    """
    from pretrieve.settings_model import followed_path

    try:
        return followed_path(path)
    except ValueError as error:
        raise UserError(f"the file to write {error}") from error


def load_study_argument(
    file: Path, overrides: list[str] | None, storage: Path | None, *, needs_files: bool = True
) -> Study:
    """Read the study that a command names; raise a UserError if the file or a setting is wrong.

    A command that only reads the record needs no images and no weights.
    """
    from pretrieve.study.study import Study

    return Study.from_file(file, overrides=overrides or [], storage=storage, needs_files=needs_files)
