"""The card of a registered model, logged beside it when its study has a verdict and a record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.data.published.catalogue import find_published
from pretrieve.data.settings import ImageSetSettings
from pretrieve.records import CellRecord, StudyRecord, TrialRecord
from pretrieve.records.prediction_summaries import per_class_accuracy
from pretrieve.records.predictions import predictions_path, read_predictions
from pretrieve.tracking.champions import MODEL_FOLDER

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pretrieve.study.settings import StudySettings

MODEL_CARD = "model_card.md"
"""Among the files of a registered model."""


def log_model_card(
    settings: StudySettings, record: StudyRecord, cell: CellRecord, refit: TrialRecord, client: MlflowClient
) -> None:
    """Write the card of the model that is a refit of a cell, beside the model's files.

    Raises:
      MlflowException: the store does not answer.
    """
    import pretrieve_dashboards as dashboards

    text = dashboards.render_model_card(
        record,
        cell,
        refit,
        class_shares=_class_shares(predictions_path(settings.folder, refit.key)),
        source=None if settings.source is None else settings.source.display_name,
        licences=_licences([*filter(None, [settings.source]), *settings.targets]),
    )
    client.log_text(refit.run_id, text, f"{MODEL_FOLDER}/{MODEL_CARD}")


def _class_shares(path: Path) -> list[tuple[str, int, float]]:
    """Return name, test images and share of right ones of each class with test images, from kept predictions."""
    if not is_kept(path):
        return []
    predictions = read_predictions(path)
    numbers = np.bincount(predictions.labels, minlength=len(predictions.class_names))
    columns = zip(predictions.class_names, numbers.tolist(), per_class_accuracy(predictions).tolist(), strict=True)
    return [(name, number, share) for name, number, share in columns if number]


def _licences(image_sets: Iterable[ImageSetSettings]) -> dict[str, str]:
    """Return the licences of the published sets among these, by the study's names of them."""
    return {each.display_name: find_published(each.published).facts.licence for each in image_sets if each.published}
