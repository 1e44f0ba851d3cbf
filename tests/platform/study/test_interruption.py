"""A driver that is killed or interrupted in the middle of its trials, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_study import check_nothing_is_lost_or_double, finish, results, start_driver, trial_runs, write_study

from pretrieve.tracking import schema

pytestmark = [pytest.mark.clusters, pytest.mark.long]

NUM_EPOCHS = 8
TRAINING = {"epochs": NUM_EPOCHS, "batch_size": 8}


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


def test_a_study_interrupted_and_then_killed_goes_on_to_the_table_of_one_left_alone(tmp_path: Path) -> None:
    study_file = write_study(tmp_path, "interrupted", training=TRAINING)
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    finish(start_driver(study_file, alone))
    for how in (signal.SIGINT, signal.SIGKILL):
        process = start_driver(study_file, disturbed)
        wait_for_trials(disturbed / "interrupted", process)
        (os.killpg if how == signal.SIGKILL else os.kill)(process.pid, how)
        output, _ = process.communicate(timeout=120)
        assert process.returncode != 0
        assert "refits:" not in output, "the best of half a grid must not be refitted"
    finish(start_driver(study_file, disturbed))

    assert results(disturbed / "interrupted") == results(alone / "interrupted")
    assert len(trial_runs(alone / "interrupted")) == 10
    check_nothing_is_lost_or_double(disturbed / "interrupted", num_runs=10, num_epochs=NUM_EPOCHS)


def test_a_search_that_is_killed_keeps_what_ended_and_goes_on_with_what_was_begun(tmp_path: Path) -> None:
    """A search that proposes; one that stops trials is killed in `test_example_package.py`."""
    search = {"strategy": "optuna", "num_trials": 3}
    study_file = write_study(tmp_path, "interrupted", search=search, training=TRAINING)
    process = start_driver(study_file, tmp_path)
    wait_for_trials(tmp_path / "interrupted", process)
    half_done = {path.stem for path in (tmp_path / "interrupted" / "checkpoints").glob("*.pt")}
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    killed_ms = time.time_ns() // 1_000_000
    ended = {run.info.run_id for run in trial_runs(tmp_path / "interrupted") if schema.TAG_OUTCOME in run.data.tags}
    finish(start_driver(study_file, tmp_path))

    runs = trial_runs(tmp_path / "interrupted")
    keys = [run.data.tags[schema.TAG_KEY] for run in runs if run.data.tags[schema.TAG_KIND] == "trial"]
    assert len(set(keys)) == len(keys) == 6
    assert half_done <= set(keys), "a point that was begun is one of those that are proposed"
    assert all(run.info.end_time < killed_ms for run in runs if run.info.run_id in ended)
    client = MlflowClient(f"sqlite:///{tmp_path / 'interrupted' / 'mlflow.db'}")
    for run in runs:
        last = int(run.data.metrics.get(schema.STOPPED_EPOCH, NUM_EPOCHS))
        steps = [figure.step for figure in client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)]
        assert sorted(steps) == list(range(1, last + 1)), "neither gaps nor doubles"
