"""Opening a study: its folder, and its record in MLflow."""

from __future__ import annotations

from pathlib import Path

from mlflow.exceptions import MlflowException

from pretrieve.errors import UserError
from pretrieve.study.settings import StudySettings
from pretrieve.tracking.address import is_database, without_password
from pretrieve.tracking.ledger import Ledger


def make_folder(folder: Path) -> None:
    """Make the study's folder.

    Raises:
      UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"storage must be a folder that can be written to, but {folder}: {error}") from error


def open_ledger(settings: StudySettings) -> Ledger:
    """Open the record of a study, made where there is none.

    Raises:
      UserError: MLflow's store does not answer.
    """
    try:
        return Ledger(
            tracking_uri=settings.tracking(),
            study=settings.name,
            folder=settings.folder,
            owns_artifacts=is_database(settings.tracking()),
            stopped_is_done=settings.search.may_stop,
        )
    except MlflowException as error:
        raise UserError(
            f"MLflow's store must answer, but that of study {settings.name!r} says: "
            f"{without_password(str(error))}; check tracking_uri and MLFLOW_TRACKING_URI, or leave both "
            "out for SQLite in the study's folder"
        ) from None  # MLflow's own words may hold the address with its password
