"""The job, submitted to a real Ray head with a second node beside it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from ports import free_port

from pretrieve.tracking import schema

pytestmark = [pytest.mark.slow, pytest.mark.clusters]

RAY = str(Path(sys.executable).with_name("ray"))


MY_TARGETS = """
import pretrieve as pt


def pictures() -> pt.ImageSet:
    return pt.load_folder_tree({folder!r}, name="pictures")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Start a head with its job server and a second node, of one CPU each; give the environment to talk to them in."""
    # Ray's sockets need a short path; the tests' own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    gcs, dashboard = free_port(), free_port()
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment["RAY_USAGE_STATS_ENABLED"] = "0"
    environment.pop("RAY_ADDRESS", None)
    shared = ["--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000"]
    head = ["--head", f"--port={gcs}", f"--temp-dir={folder / 'h'}", "--include-dashboard=true"]
    head += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={free_port()}"]
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "nodes.log").open("wb") as log:
        try:
            # Folders of their own, as on two machines: a node that first meets a job unpacks its working directory
            # anew, and in a shared one would remove the one that the job's driver stands in.
            for role in (head, [f"--address=127.0.0.1:{gcs}", f"--temp-dir={folder / 'n'}"]):
                wait_for_port(gcs if processes else None)
                # The agent's default port may be another node's.
                command = [RAY, "start", *role, *shared, f"--dashboard-agent-listen-port={free_port()}"]
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
            yield {**environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=60)
            shutil.rmtree(folder, ignore_errors=True)


def wait_for_port(port: int | None) -> None:
    """Wait until something listens on a port of loopback."""
    deadline = time.monotonic() + 60
    while port is not None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def write_photos(root: Path, num_classes: int, splits: dict[str, int]) -> None:
    rng = np.random.default_rng(num_classes)
    for split, count in splits.items():
        for label in range(num_classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 60, (32, 32, 3)) + 40 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")


EPOCHS = 15
"""Long enough for the test to see two trials under way and one whose end is recorded, and to kill in between."""


MY_MEMBERS = """
import numpy as np
from pretrieve.training.objectives.joint import JointTwoHead
from pretrieve_selection import Selection, Selector

class Last(Selector):
    name = "last"

    def _select(self, problem, *, top_k, settings, rng):
        return Selection.from_scores(self.name, np.arange(problem.source.num_groups), top_k=top_k)

class Half(JointTwoHead):
    name = "half"

    @classmethod
    def build(cls, hyperparameters, relationship):
        built = super().build(hyperparameters, relationship)
        built.source_weight /= 2
        return built
"""


@pytest.fixture
def job(repository: Path, tmp_path: Path) -> Path:
    """Write a working directory: study, modules of its target and members, the job's script and runtime environment."""
    write_photos(tmp_path / "source", 4, {"train": 16})
    write_photos(tmp_path / "target", 3, {"train": 24, "test": 4})
    study = {
        "name": "job",
        "source": {"folder": str(tmp_path / "source")},
        "targets": ["my_targets:pictures"],
        "recipe": "paper2022",
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
        "methods": ["finetune", {"name": "mine", "selector": "my_members:Last", "objective": "my_members:Half"}],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": EPOCHS, "batch_size": 8},
        "refit": {"num_seeds": 1},
        "compute": {"cpus_per_trial": 1},
    }
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (folder / "my_targets.py").write_text(MY_TARGETS.format(folder=str(tmp_path / "target")), encoding="utf-8")
    (folder / "my_members.py").write_text(MY_MEMBERS, encoding="utf-8")
    shutil.copy(repository / "jobs" / "run_study.py", folder)
    runtime = yaml.safe_load((repository / "jobs" / "runtime_env.yaml").read_text(encoding="utf-8"))
    del runtime["env_vars"]["MLFLOW_TRACKING_URI"]  # no server here: SQLite in the study's folder
    (folder / "runtime_env.yaml").write_text(yaml.safe_dump(runtime), encoding="utf-8")
    return folder


def test_a_study_killed_on_two_nodes_and_submitted_again_goes_on_to_its_table(
    cluster: dict[str, str], job: Path, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    study = storage / "job"
    submission = ["--runtime-env", str(job / "runtime_env.yaml"), "--working-dir", str(job)]
    entry = ["--", sys.executable, "run_study.py", "study.yaml", "--storage", str(storage)]
    out = submit([RAY, "job", "submit", "--no-wait", "--submission-id", "first", *submission, *entry], cluster)
    assert out.returncode == 0, out.stdout + out.stderr
    wait_until(lambda: both_nodes_train_after_a_trial(study), cluster)
    os.kill(int((study / "driver.txt").read_text(encoding="utf-8").split()[1]), signal.SIGKILL)
    before = finished_runs(study)

    out = submit([RAY, "job", "submit", *submission, *entry], cluster)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "succeeded" in out.stdout + out.stderr
    after = finished_runs(study)
    assert before.items() <= after.items(), "what was finished is kept, and was not opened again"
    assert len(after) == 6
    check_runs(study)
    rows = (study / "table.csv").read_text(encoding="utf-8").splitlines()
    assert {tuple(row.split(",")[:2]) for row in rows[1:]} == {("pictures", "finetune"), ("pictures", "mine")}
    assert (study / "report.html").exists()


def both_nodes_train_after_a_trial(study: Path) -> bool:
    """Return whether a trial is recorded as finished while two, on a CPU of either node, are under way."""
    spools = [path.read_text(encoding="utf-8") for path in (study / "spool").glob("*.jsonl")]
    under_way = [lines for lines in spools if lines and '"outcome"' not in lines]
    return len(under_way) == 2 and (study / "mlflow.db").exists() and bool(finished_runs(study))


def trial_runs(study: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("job")
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id])
    return [run for run in runs if run.data.tags[schema.TAG_KIND] in (schema.KIND_TRIAL, schema.KIND_REFIT)]


def finished_runs(study: Path) -> dict[str, tuple[str, int]]:
    """Return, by key, the run of each finished trial and when it ended."""
    return {
        run.data.tags[schema.TAG_KEY]: (run.info.run_id, run.info.end_time)
        for run in trial_runs(study)
        if run.info.status == "FINISHED"
    }


def check_runs(study: Path) -> None:
    runs = trial_runs(study)
    assert set(Counter(run.data.tags[schema.TAG_KEY] for run in runs).values()) == {1}
    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    for run in runs:
        steps = [figure.step for figure in client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)]
        assert sorted(steps) == list(range(1, EPOCHS + 1)), "neither gaps nor doubles"


def wait_until(is_so: Callable[[], bool], environment: dict[str, str]) -> None:
    """Wait for something; where it takes too long, fail with what the first submission says."""
    deadline, command = time.monotonic() + 240, [RAY, "job", "logs", "first"]
    while not is_so():
        if time.monotonic() > deadline:
            out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
            pytest.fail(f"it did not come so far in four minutes:\n{out.stdout}{out.stderr}")
        time.sleep(0.1)


def submit(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Submit once the head's job server answers."""
    for attempt in range(20):
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        is_starting = "Failed to connect" in out.stderr or "Connection refused" in out.stderr or "503" in out.stderr
        if not is_starting or attempt == 19:
            return out
        subprocess.run(["sleep", "1"], check=True)
    raise AssertionError("unreachable")
