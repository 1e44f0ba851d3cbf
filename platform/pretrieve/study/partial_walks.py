"""Walks that go only a part of a study's way: its features, its selections, or what waits for MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pretrieve.errors import UserError
from pretrieve.stages.context import Context, walking
from pretrieve.stages.features import FeaturesStage
from pretrieve.stages.image_cache import describe_inputs
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.selection import SelectionStage
from pretrieve.stages.selection_record import write_selection_records
from pretrieve.study.opening import make_folder, open_ledger
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_lock import sole_driver


def deliver_study(settings: StudySettings) -> int:
    """Send to MLflow what waits in a study's folder, and run nothing.

    Returns:
      How many trials were delivered to their end.

    Raises:
      UserError: MLflow's store does not answer, or another process runs the study.
    """
    if not settings.folder.is_dir():
        raise UserError(f"a study must have run before it can be delivered, but {settings.folder} does not exist")
    with sole_driver(settings.folder):
        ledger = open_ledger(settings)
        left = {path.stem for path in ledger.spool_folder.glob("*.jsonl")}
        # The study's run was opened for this; whether the study is whole only a run of it can tell.
        is_whole = ledger.status_before == "FINISHED" and not ledger.sent_keys
        ledger.end_study("FINISHED" if is_whole else "FAILED")
    return len(ledger.sent_keys - left)


def extract_features(settings: StudySettings, observer: StudyObserver) -> None:
    """Walk as far as the features that the study's selections are made from, and compute what is missing of them.

    Args:
      settings: the study.
      observer: hears of stages and what a user should know.

    Raises:
      UserError: the settings do not fit the data or the cluster.
    """
    with _sole_walk(settings, observer) as context:
        if FeaturesStage().applies(context):
            features = context.get(FeaturesStage)
            features.extract(features.image_sets)
        else:
            context.clock.notice("no method of this study reuses the source, so it needs no features")


def make_selections(settings: StudySettings, observer: StudyObserver) -> list[Path]:
    """Walk as far as the study's selections, and write the record of each into its folder; MLflow gets it in the run.

    Args:
      settings: the study.
      observer: hears of stages and what a user should know.

    Returns:
      The records, a JSON file each.

    Raises:
      UserError: the settings do not fit the data or the cluster.
    """
    with _sole_walk(settings, observer) as context:
        inputs = describe_inputs(context, context.get(SelectionStage))
        return [path for path, _ in write_selection_records(settings, inputs) if path.suffix == ".json"]


@contextmanager
def _sole_walk(settings: StudySettings, observer: StudyObserver) -> Iterator[Context]:
    make_folder(settings.folder)
    with sole_driver(settings.folder), walking(settings, observer) as context:
        yield context
