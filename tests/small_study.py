"""A small study on folder trees, run by processes of their own, and what its record must look like afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from copied_stores import empty_store
from forked_workers import launcher
from mlflow import MlflowClient
from PIL import Image

from pretrieve.tracking import schema


def write_study(folder: Path, name: str, **changes: Any) -> Path:
    """Write image trees and a study file on them; fields given replace those of the file."""
    rng = np.random.default_rng(0)
    for tree, classes, splits in (("source", 4, {"train": 16}), ("target", 3, {"train": 24, "test": 6})):
        for split, count in splits.items():
            for label in range(classes):
                leaf = folder / tree / split / f"class{label}"
                leaf.mkdir(parents=True, exist_ok=True)
                for index in range(count):
                    pixels = rng.integers(0, 120, (32, 32, 3)) + 40 * label
                    Image.fromarray(pixels.astype(np.uint8)).save(leaf / f"{index}.png")
    study = {
        "name": name,
        "source": {"folder": "source"},
        "targets": [{"folder": "target"}],
        "recipe": "paper2022",
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
        "methods": ["finetune", "uot"],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.03, 0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": 25, "batch_size": 8},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**study, **changes}), encoding="utf-8")
    return file


def start_driver(study_file: Path, storage: Path, *, ray_address: str | None = None) -> subprocess.Popen[str]:
    """Run a study by the command line, in a session of its own, on this machine or on a cluster."""
    return start(["run", str(study_file), "--storage", str(storage)], ray_address=ray_address)


def start(arguments: Sequence[str], *, ray_address: str | None = None, prelude: str = "") -> subprocess.Popen[str]:
    """Run a command of Pretrieve in a session of its own, on this machine (its workers are forked) or on a cluster.

    `prelude` is Python code that runs before it.
    """
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from copied_stores import copy_new_stores
del sys.path[0]
copy_new_stores(lambda: {empty_store()!r})
sys.executable = {launcher()!r}
{prelude}
from pretrieve.cli.app import main
main()
"""
    command = [sys.executable, "-c", program, *arguments]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_TRACKING"))
    }
    if ray_address is not None:
        environment |= {"RAY_ADDRESS": ray_address, "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
        # Where a shell runs the tests in its background, they and what they start would ignore an interrupt.
        preexec_fn=_hear_interrupts,
    )


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], *, timeout_s: float = 300) -> str:
    """Wait for a driver that must end well, and return what it printed."""
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, output
    return output


def trial_runs(study: Path) -> list[Any]:
    """Read the MLflow runs of all trials and refits of a study's folder."""
    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study.name)
    assert experiment is not None
    return [
        run
        for kind in (schema.KIND_TRIAL, schema.KIND_REFIT)
        for run in client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{kind}'")
    ]


def results(study: Path) -> list[list[str]]:
    """Read the table without the times that trials took."""
    rows = [row.split(",") for row in (study / "table.csv").read_text(encoding="utf-8").splitlines()]
    return [row[: rows[0].index("trial_seconds")] for row in rows]


def check_nothing_is_lost_or_double(study: Path, *, num_runs: int, num_epochs: int) -> None:
    """Every key has one finished run, and every epoch of it one figure."""
    runs = trial_runs(study)
    assert len(runs) == num_runs
    assert set(Counter(run.data.tags[schema.TAG_KEY] for run in runs).values()) == {1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    for run in runs:
        figures = client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)
        told = sorted((figure.step, figure.timestamp, figure.value) for figure in figures)
        assert [step for step, _, _ in told] == list(range(1, num_epochs + 1)), f"a gap or a double: {run.data}, {told}"
