"""A study on two nodes whose driver, trials and nodes are killed at moments drawn from a seed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_study import check_nothing_is_lost_or_double, finish, results, start_driver, write_study

pytestmark = [pytest.mark.clusters, pytest.mark.long]

SEED = 0
NUM_EPOCHS = 12
NUM_TRIALS = 12
NUM_REFITS = 4
EVENTS = ["driver"] * 2 + ["trial"] * 4 + ["node"]
MAX_PAUSE_S = 2.0
DEADLINE_S = 540.0


class TwoNodes:
    """A real cluster of a head without CPUs and two nodes of one CPU each, all on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self._nodes = [self._add(), self._add()]
        self.address = str(self._cluster.address)

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=100 * 1024**2)

    def replace_a_node(self, draw: random.Random) -> None:
        """Kill one of the nodes, and add another a moment later."""
        gone = self._nodes.pop(draw.randrange(2))
        self._cluster.remove_node(gone, allow_graceful=False)
        time.sleep(1.0)
        self._nodes.append(self._add())

    def stop(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    nodes = TwoNodes()
    yield nodes
    nodes.stop()


def kill_a_trial(nodes: TwoNodes, draw: random.Random) -> bool:
    """Kill one of the processes that train on these nodes; tell whether there was one."""
    training = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ImplicitFunc.train" in " ".join(process.info["cmdline"] or []) and nodes.address in _command_above(process)
    ]
    if not training:
        return False
    with contextlib.suppress(psutil.Error):
        draw.choice(training).kill()
    return True


def _command_above(process: psutil.Process) -> str:
    """Return the command line of a worker's raylet, which names its cluster."""
    with contextlib.suppress(psutil.Error):
        raylet = process.parent()
        return "" if raylet is None else " ".join(raylet.cmdline())
    return ""


def trials_have_begun(study: Path) -> bool:
    return bool(list((study / "checkpoints").glob("*.pt")))


def disturb(study_file: Path, storage: Path, nodes: TwoNodes, draw: random.Random) -> list[str]:
    """Run a study to its end while everything in it is killed, and return what happened in order."""
    events = draw.sample(EVENTS, len(EVENTS))
    happened: list[str] = []
    driver = start_driver(study_file, storage, ray_address=nodes.address)
    deadline = time.monotonic() + DEADLINE_S
    while events:
        assert time.monotonic() < deadline, happened
        assert driver.poll() is None, driver.communicate()[0]
        if not trials_have_begun(storage / study_file.stem):
            time.sleep(0.1)
            continue
        time.sleep(draw.uniform(0.0, MAX_PAUSE_S))
        if events[-1] == "trial" and not kill_a_trial(nodes, draw):
            continue
        if events[-1] == "node":
            nodes.replace_a_node(draw)
        if events[-1] == "driver":
            driver = killed_and_started_again(driver, study_file, storage, nodes)
        happened.append(events.pop())
    finish(driver, timeout_s=DEADLINE_S)
    return happened


def killed_and_started_again(
    driver: subprocess.Popen[str], study_file: Path, storage: Path, nodes: TwoNodes
) -> subprocess.Popen[str]:
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    return start_driver(study_file, storage, ray_address=nodes.address)


def test_a_study_whose_parts_are_killed_ends_as_one_left_alone(two_nodes: TwoNodes, tmp_path: Path) -> None:
    grid = {"lr": [0.03, 0.02], "weight_decay": [1e-4, 0.0], "source_weight": [1.0, 0.5]}
    study_file = write_study(
        tmp_path, "chaos", grid=grid, training={"epochs": NUM_EPOCHS, "batch_size": 8}, refit={"num_seeds": 2}
    )
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    finish(start_driver(study_file, alone, ray_address=two_nodes.address), timeout_s=DEADLINE_S)
    happened = disturb(study_file, disturbed, two_nodes, random.Random(SEED))

    assert sorted(happened) == sorted(EVENTS)
    assert results(disturbed / "chaos") == results(alone / "chaos")
    for storage in (alone, disturbed):
        check_nothing_is_lost_or_double(storage / "chaos", num_runs=NUM_TRIALS + NUM_REFITS, num_epochs=NUM_EPOCHS)
