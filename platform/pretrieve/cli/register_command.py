"""`pretrieve register`: the model of any cell of a study, beside the champion of each target."""

from __future__ import annotations

from typing import Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument
from pretrieve.printing import echo


def register(
    study: StudyFile,
    target: Annotated[str, typer.Argument(help="A target of the study.")],
    method: Annotated[str, typer.Argument(help="A row of its table.")],
    overrides: Overrides = None,
    storage: Storage = None,
) -> Answer:
    """Register the model of one cell with MLflow, and print its address, for `mlflow.pyfunc.load_model`.

    `pretrieve register my_study.yaml birds uot`

    A run registers the champion of each target. This registers any other cell's first refit, which was trained on all
    labelled images of the first repeat.
    """
    uri = load_study_argument(study, overrides, storage, needs_files=False).register(target, method)
    echo(uri)
    return {"uri": uri}
