"""`pretrieve deliver`: what waits in a study's folder reaches MLflow, and nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from pretrieve.cli import app as cli
from pretrieve.errors import UserError
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Begun, DriverSpool, Spool
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec


def test_what_waits_is_delivered_and_told(
    make_settings: Callable[..., StudySettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(name="waiting")
    make_folder(settings.folder)
    ledger = open_ledger(settings)
    spec = TrialSpec(
        kind="trial",
        target="tiny-a",
        method="finetune",
        objective="finetune",
        hyperparameters=Hyperparameters(lr=0.1),
        seed=0,
        key="waits",
        training=TrainingSettings(),
        metric="top1",
        num_target_classes=3,
        num_source_classes=0,
    )
    # As a driver leaves it that was killed while its server was away.
    DriverSpool(ledger.spool_path("waits")).write_begun(Begun(spec, {"lr": 0.1}))
    spool = Spool(ledger.spool_path("waits"))
    spool.write_epoch(1, {schema.VAL_SCORE: 0.25})
    spool.write_end("finished", {schema.SECONDS: 2.0})
    study_file = tmp_path / "waiting.yaml"
    study_file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    cli.app(["deliver", str(study_file)], standalone_mode=False)
    assert "1 trial was delivered" in capsys.readouterr().out
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name("waiting")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = 'trial'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics[schema.VAL_SCORE] == 0.25
    assert not list(ledger.spool_folder.glob("*.jsonl"))
    assert study_status(settings) == "FAILED", "whether it is whole only a run of it can tell"
    ledger.end_study("FINISHED")
    Spool(ledger.spool_path("waits")).write_epoch(1, {schema.VAL_SCORE: 0.25})  # by a process that was cut off
    cli.app(["deliver", str(study_file)], standalone_mode=False)
    assert "0 trials were delivered" in capsys.readouterr().out
    assert study_status(settings) == "FINISHED"


def test_a_study_whose_driver_was_killed_is_not_whole_where_nothing_waits(
    make_settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    settings = make_settings(name="waiting")
    make_folder(settings.folder)
    open_ledger(settings)
    study_file = tmp_path / "waiting.yaml"
    study_file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    assert study_status(settings) == "RUNNING"
    cli.app(["deliver", str(study_file)], standalone_mode=False)
    assert study_status(settings) == "FAILED"


def study_status(settings: StudySettings) -> str:
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name("waiting")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = 'study'")
    return str(run.info.status)


def test_a_study_that_never_ran_has_nothing_to_deliver(
    make_settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    study_file = tmp_path / "never.yaml"
    settings = make_settings(name="never", storage=str(tmp_path / "none"))
    study_file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    with pytest.raises(UserError, match="a study must have run before it can be delivered"):
        cli.app(["deliver", str(study_file)], standalone_mode=False)
