"""A study recorded by a tracking server on PostgreSQL, which goes away in the middle of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from mlflow import MlflowClient
from postgres_tracking import PostgresTracking

from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.tracking import schema

pytestmark = [pytest.mark.slow, pytest.mark.clusters, pytest.mark.usefixtures("ray_cluster")]

EPOCHS = 12
NUM_TRIALS = 4
AWAY_S = 20.0


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresTracking]:
    server = PostgresTracking(tmp_path_factory.mktemp("artifacts"))
    server.start()
    yield server
    server.stop()


class Outage(StudyObserver):
    """Takes the server away when the first trial has finished two epochs, and brings it back after a while."""

    def __init__(self, tracking: PostgresTracking) -> None:
        self._tracking = tracking
        self.back: threading.Thread | None = None
        self.states: Counter[str] = Counter()
        self.while_away: Counter[str] = Counter()
        self.notices: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.states[event.state] += 1
        if self.back is not None and self.back.is_alive():
            self.while_away[event.state] += 1
        if event.kind == "trial" and event.epoch == 2 and self.back is None:
            self._tracking.stop_server()
            self.back = threading.Thread(target=self._bring_back)
            self.back.start()

    def noticed(self, message: str) -> None:
        self.notices.append(message)

    def _bring_back(self) -> None:
        time.sleep(AWAY_S)
        self._tracking.start_server()


def test_a_server_that_is_away_in_mid_study_loses_no_trial_and_no_figure(
    tracking: PostgresTracking,
    make_settings: Callable[..., StudySettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri.replace("://", "://me:s3cret@"))
    settings = make_settings(targets=["tiny-a"], refit={"num_seeds": 1}, training={"epochs": EPOCHS, "batch_size": 8})
    outage = Outage(tracking)
    try:
        record = run_study(settings, outage)
    finally:
        if outage.back is not None:
            outage.back.join()

    assert outage.while_away["progressed"] > 0, "trials went on while the server was away"
    assert any("MLflow does not take the metrics now" in notice for notice in outage.notices)
    assert "MLflow answers again" in outage.notices
    assert (outage.states["failed"], outage.states["diverged"]) == (0, 0)
    assert record.is_finished
    check_figures(tracking, settings.name)
    check_nothing_tells_the_password(tracking, settings, capfd)


def check_figures(tracking: PostgresTracking, study: str) -> None:
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs: list[Any] = [
        run
        for kind in (schema.KIND_TRIAL, schema.KIND_REFIT)
        for run in client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{kind}'")
    ]
    assert len(runs) == NUM_TRIALS + 2, "and a refit of each of two cells"
    assert set(Counter(run.data.tags[schema.TAG_KEY] for run in runs).values()) == {1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        steps = [figure.step for figure in client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)]
        assert sorted(steps) == list(range(1, EPOCHS + 1)), "neither gaps nor doubles"


def check_nothing_tells_the_password(
    tracking: PostgresTracking, settings: StudySettings, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither what was printed nor anything that the study left: its storage, Ray's logs, MLflow's records."""
    printed = capfd.readouterr()
    assert "s3cret" not in printed.out + printed.err
    session = ray.get_runtime_context()
    logs = Path(session.get_temp_dir(), session.get_session_name(), "logs")
    files = [path for folder in (settings.storage, logs) for path in folder.rglob("*") if path.is_file()]
    assert {settings.folder / "report.html", logs / "raylet.out"} <= set(files)
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) > NUM_TRIALS
    assert "s3cret" not in str([experiment.to_proto(), *(run.to_dictionary() for run in runs)])
    for model in client.search_registered_models():
        assert "s3cret" not in str([model.to_proto(), *(version.to_proto() for version in model.latest_versions)])
    artifacts = [path for path in tracking.artifacts.rglob("*") if path.is_file()]
    assert artifacts
    assert not [path for path in artifacts if b"s3cret" in path.read_bytes()]
