"""The job, submitted to a real Ray head."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """Start a head with its job server and give the environment in which to talk to it."""
    # Ray's sockets need a short path; the tests' own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    gcs, dashboard = free_port(), free_port()
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    for name in ("RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        environment.pop(name, None)
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", f"--port={gcs}", f"--temp-dir={folder}"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [
        "--object-store-memory=200000000",
        f"--ray-client-server-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}",  # its default may be another head's
        "--include-dashboard=true",
    ]
    log = (folder / "head.log").open("wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield {**environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def write_photos(root: Path, num_classes: int, splits: dict[str, int]) -> None:
    rng = np.random.default_rng(num_classes)
    for split, count in splits.items():
        for label in range(num_classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 60, (32, 32, 3)) + 40 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")


def test_a_submitted_study_runs_to_its_table(head: dict[str, str], repository: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "source", 4, {"train": 10})
    write_photos(tmp_path / "target", 3, {"train": 10, "test": 4})
    study = {
        "name": "job",
        "source": {"folder": str(tmp_path / "source")},
        "targets": [{"folder": str(tmp_path / "target")}],
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
        "methods": ["finetune", "uot"],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": 1, "batch_size": 8},
    }
    job = tmp_path / "job"
    job.mkdir()
    (job / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    shutil.copy(repository / "jobs" / "run_study.py", job)
    storage = tmp_path / "storage"
    command = [RAY, "job", "submit", "--working-dir", str(job), "--"]
    command += [sys.executable, "run_study.py", "study.yaml", "--storage", str(storage)]
    out = submit(command, head)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "succeeded" in out.stdout + out.stderr
    assert (storage / "job" / "report.html").exists()
    rows = (storage / "job" / "table.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert {tuple(row.split(",")[:2]) for row in rows[1:]} == {("target", "finetune"), ("target", "uot")}


def submit(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Submit once the head's job server answers."""
    for attempt in range(20):
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        is_starting = "Failed to connect" in out.stderr or "Connection refused" in out.stderr or "503" in out.stderr
        if not is_starting or attempt == 19:
            return out
        subprocess.run(["sleep", "1"], check=True)
    raise AssertionError("unreachable")
