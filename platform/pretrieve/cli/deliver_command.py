"""`pretrieve deliver`: send to MLflow what it could not take while the study ran."""

from __future__ import annotations

import typer

from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument


def deliver(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> None:
    """Send to MLflow the metrics that wait in the study's folder, as its server was away when they were told.

    Trains nothing. `pretrieve run` does the same and then goes on with the study.
    """
    from pretrieve.study.walk import deliver_study

    num_trials = deliver_study(load_study_argument(study, overrides, storage).settings)
    typer.echo(f"{num_trials} trials were delivered" if num_trials != 1 else "1 trial was delivered")
