"""The arguments of every command about a registered model: which model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.study_argument import load_study_argument
from pretrieve.errors import UserError, nearest_word

if TYPE_CHECKING:
    from pretrieve.tracking.registered_model import RegisteredModel

Model = Annotated[
    str,
    typer.Argument(
        help="A study file, for the model of its target; the folder of a model; or an address `models:/NAME@ALIAS`, "
        "in the store of MLFLOW_TRACKING_URI."
    ),
]
Target = Annotated[str | None, typer.Option(help="Of a study file: which target. Default: its only one.")]
Method = Annotated[
    str | None, typer.Option(help="Of a study file: the row that `pretrieve register` registered. Default: the best.")
]


def find_model(model: str, target: str | None, method: str | None, storage: Path | None) -> RegisteredModel:
    """Return the model that a command names, fetched onto this disk.

    Raises:
      UserError: there is none.
    """
    from pretrieve.tracking.registered_model import RegisteredModel, fetch_model

    if model.startswith(("models:", "runs:")):
        if not (tracking_uri := os.environ.get("MLFLOW_TRACKING_URI")):
            raise UserError(
                f"a model's address must come with that of its store, but {model} is given and MLFLOW_TRACKING_URI is "
                "not set; set it, or name the study file instead, with --target"
            )
        return fetch_model(model, tracking_uri)
    if (folder := Path(model).expanduser()).is_dir():
        return RegisteredModel(folder)
    settings = load_study_argument(Path(model), None, storage, needs_files=False).settings
    names = [each.display_name for each in settings.targets]
    if target is None and len(names) == 1:
        target = names[0]
    if target not in names:
        asked = "none is given" if target is None else f"it is {target!r}"
        raise UserError(
            f"--target must be one of the study's, {', '.join(names)}, but {asked}.{nearest_word(target or '', names)}"
        )
    name = f"{settings.name}.{target}@champion" if method is None else f"{settings.name}.{target}.{method}@model"
    return fetch_model(f"models:/{name}", settings.tracking())
