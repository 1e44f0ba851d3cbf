"""The class scores of each refit are kept by image: they give the table's scores, and no damage changes them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from damage import DAMAGES, damage
from mlflow import MlflowClient

from pretrieve.artifacts.sealed_files import read_sealed
from pretrieve.backbones.state_dicts import read_kept_weights, write_weights
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.scored_images import image_identity
from pretrieve.errors import DamagedArtifactError
from pretrieve.records import StudyRecord, TrialRecord
from pretrieve.records.prediction_summaries import confusion_matrix
from pretrieve.records.predictions import KeptPredictions, predictions_path
from pretrieve.stages.context import walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.study import Study
from pretrieve.tracking import schema
from pretrieve_dashboards.errors import DashboardError

pytestmark = pytest.mark.usefixtures("ray_cluster")

FIELDS: dict[str, Any] = {
    "name": "predicted",
    "source": "tiny-source",
    "targets": ["tiny-a"],
    "recipe": "paper2022",
    "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
    "methods": ["finetune", "uot", "linear_probe", "class_means"],
    "selection": {"top_k": 2},
    "grid": {"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5], "l2": [0.1]},
    # With what stands beside the weights in a training: predicting again must not miss it.
    "training": {"epochs": 2, "batch_size": 8, "batch_norm": "target_only", "weight_average": 0.5},
    "refit": {"num_seeds": 2},
}
NUM_REFITS = 6


class KilledError(BaseException):
    """Stands for the end of the driver."""


class Ear(StudyObserver):
    """Keeps the notices and the trials that ran; ends the study as a kill does when the stage `killed_at` begins."""

    def __init__(self, killed_at: str = "") -> None:
        self.notices: list[str] = []
        self.begun: list[TrialEvent] = []
        self._killed_at = killed_at

    def noticed(self, message: str) -> None:
        self.notices.append(message)

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        if stage == self._killed_at:
            raise KilledError

    def trial_event(self, event: TrialEvent) -> None:
        self.begun += [event] if event.state == "started" else []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Mapping[str, bytes]]:
    """A study that ran to its end, and its prediction files; a test that takes a file away gives it back."""
    study = Study(**FIELDS, storage=str(tmp_path_factory.mktemp("finished")))
    study.run(Ear())
    return study, files_of(study)


def files_of(study: Study) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (study.settings.folder / "predictions").glob("*.arrows")}


def run_again(study: Study) -> Ear:
    ear = Ear()
    study.run(ear)
    assert ear.begun == [], "nothing is trained again"
    return ear


def refits_of(record: StudyRecord) -> list[TrialRecord]:
    return [refit for cell in record.cells for refit in cell.refits]


def score_of(kept: KeptPredictions) -> float:
    (top1,) = find_metrics(["top1"])
    return top1.compute(kept.scores.astype(np.float64), kept.labels.astype(np.int64))


def test_the_predictions_of_each_refit_give_its_score_and_name_its_images(
    finished: tuple[Study, Mapping[str, bytes]],
) -> None:
    study, files = finished
    record = study.record()
    with walking(study.settings, StudyObserver(), makes=False) as context:
        test = context.get(ImageSetsStage).targets["tiny-a"].splits["test"]
    assert files.keys() == {f"{refit.key}.arrows" for refit in refits_of(record)}
    assert len(files) == NUM_REFITS
    for cell in record.cells:
        for refit, kept in zip(cell.refits, study.predictions("tiny-a", cell.method), strict=True):
            assert (kept.key, kept.target, kept.method, kept.seed) == (refit.key, "tiny-a", cell.method, refit.seed)
            assert score_of(kept) == refit.score
            assert confusion_matrix(kept).trace() / len(kept.labels) == refit.score
            assert kept.images.tolist() == [image_identity(content) for content in test["content"].to_pylist()]
            assert kept.labels.tolist() == test["label"].to_pylist()
            assert kept.class_names == ("tiny-a class 0", "tiny-a class 1", "tiny-a class 2")
            assert kept.made_with.keys() == {"machine", "device", "threads", "python", "torch", "pretrieve"}
    with pytest.raises(
        DashboardError, match=r"one of the study's, tiny-a · finetune, .*, but tiny-b · uot was asked for"
    ):
        study.predictions("tiny-b", "uot")


def test_mlflow_has_the_predictions_of_each_refit(finished: tuple[Study, Mapping[str, bytes]]) -> None:
    study, files = finished
    record = study.record()
    for refit in refits_of(record):
        assert refit.predictions == f"runs:/{refit.run_id}/predictions/{refit.key}.arrows"
        copy = mlflow.artifacts.download_artifacts(refit.predictions, tracking_uri=study.settings.tracking())
        assert Path(copy).read_bytes() == files[f"{refit.key}.arrows"]
    assert {trial.predictions for cell in record.cells for trial in cell.trials} == {""}


def test_the_same_study_elsewhere_killed_and_resumed_keeps_the_same_bytes(
    finished: tuple[Study, Mapping[str, bytes]], tmp_path: Path
) -> None:
    study, files = finished
    shutil.copytree(study.settings.cache, tmp_path / "cache")
    again = Study(**FIELDS, storage=str(tmp_path))
    with pytest.raises(KilledError):
        again.run(Ear(killed_at="predictions"))
    assert files_of(again) == files
    assert {refit.predictions for refit in refits_of(again.record())} == {""}
    run_again(again)
    assert files_of(again) == files
    assert all(refit.predictions for refit in refits_of(again.record()))


@pytest.mark.parametrize("how", DAMAGES)
def test_lost_or_damaged_predictions_are_made_again_from_the_weights(
    finished: tuple[Study, Mapping[str, bytes]], how: str
) -> None:
    study, files = finished
    rng = random.Random(how)
    for name in files:  # one of each row, trained or fitted
        damage(study.settings.folder / "predictions" / name, how, rng)
    ear = run_again(study)
    assert files_of(study) == files
    named = {name for name in files if any(name in notice and "damaged" in notice for notice in ear.notices)}
    assert named == (set() if how == "deleted" else set(files))


def test_a_damaged_file_of_identities_is_made_again(finished: tuple[Study, Mapping[str, bytes]]) -> None:
    study, _ = finished
    (path,) = (study.settings.cache / "scored_images").glob("*.json")
    content = path.read_bytes()
    for how in DAMAGES:
        damage(path, how, random.Random(how))
        run_again(study)
        assert path.read_bytes() == content


def test_refits_without_predictions_and_weights_are_named_and_nothing_breaks(
    finished: tuple[Study, Mapping[str, bytes]],
) -> None:
    study, files = finished
    taken = [path for kind in ("predictions", "refits") for path in (study.settings.folder / kind).glob("*.*")]
    contents = {path: path.read_bytes() for path in taken}
    for path in taken:
        path.unlink()
    ear = run_again(study)
    assert files_of(study) == {}
    assert any(
        f"{NUM_REFITS} refits have no predictions, and no weights to compute them from" in each for each in ear.notices
    )
    for path, content in contents.items():
        path.write_bytes(content)
    assert files_of(study) == files


def test_predictions_that_would_give_another_score_are_not_kept(finished: tuple[Study, Mapping[str, bytes]]) -> None:
    study, files = finished
    refit = next(refit for refit in refits_of(study.record()) if (refit.score or 0.0) > 0)
    weights, kept = (
        study.settings.folder / "refits" / f"{refit.key}.pt",
        predictions_path(study.settings.folder, refit.key),
    )
    state, content = read_kept_weights(weights), weights.read_bytes()
    # A head that gives the first class alone, of whose images every third one is.
    state["target_head.weight"].zero_()
    state["target_head.bias"].copy_(torch.tensor([1.0, 0.0, 0.0]))
    write_weights(state, weights)
    kept.unlink()
    ear = run_again(study)
    assert not kept.exists()
    expected = f"they give a test score of {6 / 18}, not {refit.score} as recorded"
    assert any(expected in notice for notice in ear.notices)
    weights.write_bytes(content)
    run_again(study)
    assert files_of(study) == files


def test_predictions_that_mlflow_lacks_are_logged(finished: tuple[Study, Mapping[str, bytes]]) -> None:
    """As after an update, or a kill between the end of the refits and the record of their files."""
    study, _ = finished
    client, refit = MlflowClient(study.settings.tracking()), refits_of(study.record())[0]
    digest = client.get_run(refit.run_id).data.tags[schema.TAG_PREDICTIONS]
    client.delete_tag(refit.run_id, schema.TAG_PREDICTIONS)
    assert refits_of(study.record())[0].predictions == ""
    run_again(study)
    assert client.get_run(refit.run_id).data.tags[schema.TAG_PREDICTIONS] == digest
    assert refits_of(study.record())[0] == refit


def test_a_flipped_bit_is_found_when_predictions_are_read(finished: tuple[Study, Mapping[str, bytes]]) -> None:
    study, files = finished
    refit = refits_of(study.record())[0]
    path, rng = predictions_path(study.settings.folder, refit.key), random.Random(0)
    damage(path, "flipped", rng)
    with pytest.raises(DamagedArtifactError, match=refit.key):
        study.predictions("tiny-a", "finetune")
    path.write_bytes(files[path.name])
    read_sealed(path)
