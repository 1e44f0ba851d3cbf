"""A whole study over a tracking server whose answers get lost, come late or come twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_proxy import FAULTS, FaultyProxy
from mlflow import MlflowClient
from ports import free_port

from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.tracking import ledger, schema

pytestmark = [pytest.mark.clusters, pytest.mark.usefixtures("ray_cluster")]

NUM_FAULTS = 200
"""At most; a small study makes fewer calls than would take them all."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server on SQLite."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    deadline, address = time.monotonic() + 180, f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.2)
    yield address
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def scores(settings: StudySettings) -> list[list[str]]:
    rows = [row.split(",") for row in (settings.folder / "table.csv").read_text(encoding="utf-8").splitlines()]
    return [row[: rows[0].index("trial_seconds")] for row in rows]


def test_faults_of_all_kinds_change_no_figure_and_leave_no_twin(
    server: str, make_settings: Callable[..., StudySettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_INTERVAL_S", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    alone = make_settings(name="alone")
    run_study(alone, StudyObserver())
    for seed in (0, 1):
        proxy = FaultyProxy(server, num_faults=NUM_FAULTS, share=0.15, seed=seed)
        settings = make_settings(name=f"faulty-{seed}", tracking_uri=proxy.uri)
        try:
            run_study(settings, StudyObserver())
        finally:
            proxy.stop()
        check_faulty(MlflowClient(server), settings, alone, proxy)


def check_faulty(client: MlflowClient, settings: StudySettings, alone: StudySettings, proxy: FaultyProxy) -> None:
    assert {fault for fault, _ in proxy.happened} == set(FAULTS), "each kind came up"
    assert scores(settings) == scores(alone)
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    for kind in (schema.KIND_STUDY, schema.KIND_CELL, schema.KIND_TRIAL, schema.KIND_REFIT):
        runs = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{kind}'")
        names = (schema.TAG_KEY, schema.TAG_TARGET, schema.TAG_METHOD)
        doubles = Counter(tuple(run.data.tags.get(name) for name in names) for run in runs)
        assert set(doubles.values()) == {1}, kind
        assert {run.info.status for run in runs} == {"FINISHED"}
    for target in ("tiny-a", "tiny-b"):
        assert len(client.search_model_versions(f"name = '{settings.name}.{target}'")) == 1


def test_a_server_that_goes_away_while_models_are_registered_is_waited_for(
    server: str, make_settings: Callable[..., StudySettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Watcher(StudyObserver):
        """Takes the server away when the models' stage begins, for a while."""

        def stage_started(self, stage: str, total: int, done: int = 0) -> None:
            if stage == "models":
                proxy.go_away(1.0)

    monkeypatch.setattr(ledger, "RETRY_INTERVAL_S", 0.05)
    proxy = FaultyProxy(server, num_faults=0, share=0.0, seed=0)
    settings = make_settings(name="away", tracking_uri=proxy.uri, targets=["tiny-a"])
    try:
        record = run_study(settings, Watcher())
    finally:
        proxy.stop()
    assert set(record.models) == {"tiny-a"}
