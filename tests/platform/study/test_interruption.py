"""A driver that is killed or interrupted in the middle of its trials, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from pretrieve.tracking import schema

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a study on folder trees whose trials take long enough to be caught in the middle."""
    folder = tmp_path_factory.mktemp("interrupted")
    rng = np.random.default_rng(0)
    for name, classes, splits in (("source", 4, {"train": 16}), ("target", 3, {"train": 24, "test": 6})):
        for split, count in splits.items():
            for label in range(classes):
                leaf = folder / name / split / f"class{label}"
                leaf.mkdir(parents=True)
                for index in range(count):
                    pixels = rng.integers(0, 120, (32, 32, 3)) + 40 * label
                    Image.fromarray(pixels.astype(np.uint8)).save(leaf / f"{index}.png")
    study = {
        "name": "interrupted",
        "source": {"folder": "source"},
        "targets": [{"folder": "target"}],
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
        "methods": ["finetune", "uot"],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.03, 0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": 25, "batch_size": 8},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder / "study.yaml"


def start(study_file: Path, storage: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pretrieve", "run", str(study_file), "--storage", str(storage)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def wait_for_trials(study: Path, process: subprocess.Popen[str]) -> None:
    """Wait until one trial is finished and another is under way."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        if list((study / "checkpoints").glob("*.pt")) and finished_keys(study):
            return
        time.sleep(0.05)
    raise AssertionError("no trial finished in three minutes")


def finished_keys(study: Path) -> set[str]:
    begun = {path.stem for path in (study / "spool").glob("*.jsonl")}
    with_end = {key for key in begun if '"outcome"' in (study / "spool" / f"{key}.jsonl").read_text(encoding="utf-8")}
    return with_end or ({"delivered"} if (study / "spool").exists() and not begun else set())


def trial_runs(study: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("interrupted")
    assert experiment is not None
    return [
        run
        for kind in ("trial", "refit")
        for run in client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{kind}'")
    ]


def results(study: Path) -> list[list[str]]:
    """Read the table without the times that trials took."""
    rows = [row.split(",") for row in (study / "table.csv").read_text(encoding="utf-8").splitlines()]
    return [row[: rows[0].index("trial_seconds")] for row in rows]


def test_a_study_interrupted_and_then_killed_goes_on_to_the_table_of_one_left_alone(
    study_file: Path, tmp_path: Path
) -> None:
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    finish(start(study_file, alone))
    for how in (signal.SIGINT, signal.SIGKILL):
        process = start(study_file, disturbed)
        wait_for_trials(disturbed / "interrupted", process)
        (os.killpg if how == signal.SIGKILL else os.kill)(process.pid, how)
        output, _ = process.communicate(timeout=120)
        assert process.returncode != 0
        assert "refits:" not in output, "the best of half a grid must not be refitted"
    finish(start(study_file, disturbed))

    assert results(disturbed / "interrupted") == results(alone / "interrupted")
    runs = trial_runs(disturbed / "interrupted")
    assert set(Counter(run.data.tags[schema.TAG_KEY] for run in runs).values()) == {1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == len(trial_runs(alone / "interrupted")) == 10
    client = MlflowClient(f"sqlite:///{disturbed / 'interrupted' / 'mlflow.db'}")
    for run in runs:
        steps = [figure.step for figure in client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)]
        assert sorted(steps) == list(range(1, 26)), "neither gaps nor doubles"
