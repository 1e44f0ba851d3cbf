"""A trial that the search stops, on a real cluster without a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pretrieve.execution.compute import TrialResources
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import TrialWatcher
from pretrieve.execution.tuner import run_tasks
from pretrieve.search.settings import SearchSettings
from pretrieve.search.tune_search import stopping_search
from pretrieve.tracking import schema
from pretrieve.tracking.spool import SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.settings import TrainingSettings

POOR_RATE = 1e-7
NUM_EPOCHS = 6


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    "search",
    [
        SearchSettings(strategy="asha"),
        SearchSettings(strategy="median", grace_epochs=2, min_trials=2),
    ],
)
def test_a_trial_that_falls_behind_ends_where_it_was_stopped_and_leaves_no_checkpoint(
    search: SearchSettings, make_task: Callable[..., TrialTask], tmp_path: Path
) -> None:
    training = TrainingSettings(epochs=NUM_EPOCHS, batch_size=8)
    rates = {"good": 0.02, "better": 0.03, "poor": POOR_RATE}
    tasks = [make_task(key=key, lr=rate, training=training) for key, rate in rates.items()]
    strategy = stopping_search(search, NUM_EPOCHS)
    run_tasks(tasks, TrialResources(cpus=2, gpus=0.0), tmp_path / "tune", TrialWatcher(), strategy)
    lines = read_spool(tasks[-1].spool_path)
    end = lines[-1]
    assert isinstance(end, SpooledEnd)
    assert end.outcome == "stopped"
    last = int(end.metrics[schema.STOPPED_EPOCH])
    assert last < NUM_EPOCHS
    assert end.metrics[schema.SECONDS] > 0
    assert f"stopped after epoch {last} of {NUM_EPOCHS}" in end.message
    assert [line.epoch for line in lines if isinstance(line, SpooledEpoch)] == list(range(1, last + 1))
    assert not any(task.checkpoint_path.exists() for task in tasks)
