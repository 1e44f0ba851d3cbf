"""Registering the model of any cell, from the weights and the predictions of its first refit."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.errors import UserError
from pretrieve.records import CellRecord, StudyRecord
from pretrieve.records.predictions import predictions_path, read_predictions
from pretrieve.stages.model_cards import log_model_card
from pretrieve.study.settings import StudySettings
from pretrieve.tracking.address import without_password
from pretrieve.tracking.champions import CELL_ALIAS, Champion, register_champion
from pretrieve.tracking.run_tree import RunTree


def register_cell(settings: StudySettings, record: StudyRecord, cell: CellRecord) -> str:
    """Register the first refit of a cell of the record that has a test score, with its card; return its URI.

    Raises:
      UserError: there is none, its files are gone, or MLflow does not answer.
    """
    refit = next((each for each in cell.refits if each.score is not None), None)
    if refit is None:
        raise UserError(
            f"a cell must have a refit before its model can be registered, but {cell.target} · {cell.method} has none; "
            "run the study until it has"
        )
    weights, predictions = settings.folder / "refits" / f"{refit.key}.pt", predictions_path(settings.folder, refit.key)
    for path in (weights, predictions):
        if not is_kept(path):
            raise UserError(
                f"the weights and predictions of a refit must be there to register its model, but {path} is gone or "
                "was damaged; delete the refit's run in MLflow, and run the study again to train it again"
            )
    try:
        tree = RunTree(tracking_uri=settings.tracking(), experiment=settings.name, artifact_root=None)
        champion = Champion(
            model_name=f"{settings.name}.{cell.target}.{cell.method}",
            key=refit.key,
            run_id=refit.run_id,
            weights_path=weights,
            architecture_name=settings.backbone.architecture_name,
            class_names=read_predictions(predictions).class_names,
            description=f"{cell.method} on {cell.target}, with a test score of {100 * (refit.score or 0.0):.2f} %",
            temperature=cell.temperature(refit.repeat),
            alias=CELL_ALIAS,
        )
        uri = register_champion(champion, tree)
        log_model_card(settings, record, cell, refit, tree.client)
        return uri
    except MlflowException as error:
        raise UserError(f"MLflow's store must answer, but says: {without_password(str(error))}") from None
