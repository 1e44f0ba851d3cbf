"""One trial on two workers that Ray Train starts, on a real cluster, their gradients averaged by gloo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError
from ray.train import WorkerGroupError

from pretrieve.backbones import find_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.errors import ResourceError
from pretrieve.execution.compute import ComputeSettings, TrialResources, node_resources
from pretrieve.execution.predictions import score_of
from pretrieve.execution.trial import run_distributed_trial, run_trial
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import TrialWatcher
from pretrieve.execution.tuner import run_tasks
from pretrieve.records.predictions import read_predictions
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Spool, SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeTask = Callable[..., TrialTask]

PLAIN = "plain_network:architecture"
DEADLINE_S = 90
"""Well above what these trials take."""


def without_batch_norm(task: TrialTask, tmp_path: Path, **changes: Any) -> TrialTask:
    torch.manual_seed(0)
    write_weights(find_architecture(PLAIN).build().state_dict(), tmp_path / "plain.pt")
    fields = {"architecture_name": PLAIN, "weights_path": tmp_path / "plain.pt"}
    return task.model_copy(update={**fields, **changes})


def losses(task: TrialTask) -> list[list[float]]:
    epochs = [line for line in read_spool(task.spool_path) if isinstance(line, SpooledEpoch)]
    names = (schema.LOSS_TARGET, schema.LOSS_SOURCE)
    return [[epoch.metrics[name] for name in names] for epoch in epochs]


def test_two_workers_have_the_loss_curve_of_one(make_task: MakeTask, tmp_path: Path) -> None:
    alone = without_batch_norm(make_task(key="alone"), tmp_path)
    together = without_batch_norm(make_task(key="together"), tmp_path, num_workers=2)
    assert run_trial(alone, report=lambda metrics: None) == "finished"
    outcome = run_distributed_trial(together, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers")
    assert outcome == "finished"
    assert len(losses(together)) == 3
    torch.testing.assert_close(torch.tensor(losses(together)), torch.tensor(losses(alone)), rtol=1e-4, atol=1e-5)
    ends = [read_spool(task.spool_path)[-1] for task in (alone, together)]
    assert all(isinstance(end, SpooledEnd) and end.outcome == "finished" for end in ends)
    assert not together.checkpoint_path.exists()
    assert (
        run_distributed_trial(together, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers")
        == "finished"
    )
    assert len(losses(together)) == 3


@pytest.mark.long
def test_the_first_of_two_workers_writes_the_predictions(make_task: MakeTask, tmp_path: Path) -> None:
    task = without_batch_norm(make_task(kind="refit"), tmp_path, num_workers=2)
    outcome = run_distributed_trial(task, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers")
    assert outcome == "finished"
    assert task.predictions is not None
    end = read_spool(task.spool_path)[-1]
    assert isinstance(end, SpooledEnd)
    assert score_of(task.spec, read_predictions(task.predictions.out)) == end.metrics[schema.TEST_SCORE]
    assert [path.name for path in task.predictions.out.parent.iterdir()] == ["k.arrows"]


def test_an_error_of_a_worker_is_recorded(make_task: MakeTask, tmp_path: Path) -> None:
    whole = make_task()
    spec = whole.spec.model_copy(update={"num_target_classes": 1})
    task = without_batch_norm(whole, tmp_path, num_workers=2, spec=spec)
    assert run_distributed_trial(task, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers") == "failed"
    end = read_spool(task.spool_path)[-1]
    assert isinstance(end, SpooledEnd)
    assert end.outcome == "failed"
    assert "IndexError" in end.message
    assert run_distributed_trial(task, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers") == "failed"
    assert len([line for line in read_spool(task.spool_path) if isinstance(line, SpooledEnd)]) == 2, "of each attempt"


def test_a_step_that_does_not_fit_on_the_workers_is_computed_in_parts(make_task: MakeTask, tmp_path: Path) -> None:
    alone = without_batch_norm(make_task(key="alone"), tmp_path)
    together = without_batch_norm(
        make_task(key="together"), tmp_path, num_workers=2, architecture_name="plain_network:small_device"
    )
    assert run_trial(alone, report=lambda metrics: None) == "finished"
    outcome = run_distributed_trial(together, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers")
    assert outcome == "finished"
    assert "computed in 2 parts" in read_spool(together.spool_path)[-1].message
    torch.testing.assert_close(torch.tensor(losses(together)), torch.tensor(losses(alone)), rtol=1e-4, atol=1e-5)


def in_a_thread(run: Callable[[], Any]) -> Any:
    """Return what a call returns, and fail where it does not: workers without a place are waited for without end."""
    outcomes: list[Any] = []
    faults: list[BaseException] = []

    def note() -> None:
        try:
            outcomes.append(run())
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    for fault in faults:
        raise fault
    assert outcomes, f"it has not ended after {DEADLINE_S} s"
    return outcomes[0]


class Watcher(TrialWatcher):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def trial_started(self, task: TrialTask) -> None:
        self.heard.append("started")

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        self.heard.append("epoch")

    def trial_ended(self, task: TrialTask) -> None:
        self.heard.append("ended")

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        self.heard.append(reason)


@pytest.mark.long
def test_the_workers_of_a_trial_may_need_every_cpu_of_the_cluster(make_task: MakeTask, tmp_path: Path) -> None:
    task = without_batch_norm(make_task(), tmp_path, num_workers=2)
    settings = ComputeSettings(workers_per_trial=2)
    resources, watcher = TrialResources.on_cluster(settings, node_resources()), Watcher()
    assert resources.num_shares == 2
    in_a_thread(lambda: run_tasks([task], resources, tmp_path / "tune", watcher))
    assert watcher.heard == ["started", "epoch", "epoch", "epoch", "ended"]
    assert [len(losses(task)), Spool(task.spool_path).outcome] == [3, "finished"]


def kill_a_worker(begun: Path) -> None:
    """Kill one of the workers that this process's cluster runs, once `begun` exists."""
    while not begun.exists():
        time.sleep(0.01)
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
    workers[-1].kill()


def test_a_killed_worker_ends_the_attempt_and_the_next_goes_on(make_task: MakeTask, tmp_path: Path) -> None:
    training = TrainingSettings(epochs=4, batch_size=8)
    alone = without_batch_norm(make_task(key="alone"), tmp_path, training=training)
    killed = without_batch_norm(make_task(key="killed"), tmp_path, training=training, num_workers=2)
    killer = threading.Thread(target=kill_a_worker, args=[killed.checkpoint_path])
    killer.start()

    def run() -> str:
        return run_distributed_trial(killed, resources={"CPU": 1}, scratch=tmp_path / "workers", study="workers")

    with pytest.raises(WorkerGroupError):
        in_a_thread(run)
    killer.join()
    assert 0 < len(losses(killed)) < 4
    assert Spool(killed.spool_path).outcome is None
    assert in_a_thread(run) == "finished"
    run_trial(alone, report=lambda metrics: None)
    torch.testing.assert_close(torch.tensor(losses(killed)), torch.tensor(losses(alone)), rtol=1e-3, atol=1e-4)


def test_workers_that_the_nodes_cannot_hold_are_refused() -> None:
    nodes = [{"CPU": 2.0}, {"CPU": 3.0}]
    fitting = TrialResources.on_cluster(ComputeSettings(cpus_per_trial=2, workers_per_trial=2), nodes)
    assert (fitting.num_shares, fitting.num_concurrent) == (2, 1)
    with pytest.raises(ResourceError, match=r"3 workers of a trial must fit on the nodes.*or workers_per_trial"):
        TrialResources.on_cluster(ComputeSettings(cpus_per_trial=2, workers_per_trial=3), nodes)


def test_shares_of_a_gpu_lie_on_one_gpu() -> None:
    nodes = [{"CPU": 16.0, "GPU": 2.0}]
    resources = TrialResources.on_cluster(ComputeSettings(gpus_per_trial=0.4), nodes)
    assert (resources.num_shares, resources.num_concurrent) == (4, 4)
    assert resources.worker() == {"CPU": 1.0, "GPU": 0.4}


def test_the_workers_of_a_trial_have_a_gpu_each() -> None:
    nodes = [{"CPU": 16.0, "GPU": 4.0}]
    resources = TrialResources.on_cluster(ComputeSettings(workers_per_trial=2), nodes)
    assert (resources.num_shares, resources.num_concurrent) == (4, 2)
    assert resources.worker() == {"CPU": 1.0, "GPU": 1.0}
    assert not {"CPU", "GPU"} & set(resources.bundle())
    with pytest.raises(ValidationError, match=r"several workers cannot share a GPU.*0\.5.*leave it out"):
        ComputeSettings(workers_per_trial=2, gpus_per_trial=0.5)
