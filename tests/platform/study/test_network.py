"""A study on two nodes in network namespaces: one is killed, and the link of the other is cut."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_nodes import NetworkNodes, Node, why_not
from small_study import check_nothing_is_lost_or_double, finish, results, start_driver, write_study

pytestmark = [pytest.mark.clusters, pytest.mark.long]

NUM_EPOCHS = 12
DEADLINE_S = 420.0
CUT_S = 30.0


@pytest.fixture
def network() -> Iterator[NetworkNodes]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pt", dir="/tmp"))  # sockets lie in it, whose paths must be short
    nodes = NetworkNodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_trials(driver: subprocess.Popen[str], study: Path, *, finished: int) -> None:
    """Wait until so many trials have written their last epoch and another is under way."""
    deadline = time.monotonic() + DEADLINE_S
    while len(list((study / "checkpoints").glob("*.pt"))) == 0 or num_ended(study) < finished:
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def num_ended(study: Path) -> int:
    """Count trials whose weights or figures say that they ended; their spools are delivered and removed."""
    from mlflow import MlflowClient

    from pretrieve.tracking import schema

    client = MlflowClient(f"sqlite:///{study / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study.name)
    if experiment is None:
        return 0
    found = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_OUTCOME}` = 'finished'")
    return len(found)


def test_a_killed_node_and_a_cut_link_lose_nothing(network: NetworkNodes, tmp_path: Path) -> None:
    grid = {"lr": [0.05, 0.01], "weight_decay": [1e-4, 0.0], "source_weight": [1.0]}
    study_file = write_study(
        tmp_path, "network", grid=grid, training={"epochs": NUM_EPOCHS, "batch_size": 8}, refit={"num_seeds": 1}
    )
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    finish(start_driver(study_file, alone, ray_address=network.ray_address), timeout_s=DEADLINE_S)

    first, second = network.nodes
    driver = start_driver(study_file, disturbed, ray_address=network.ray_address)
    wait_for_trials(driver, disturbed / "network", finished=2)
    network.kill_raylet(first)
    time.sleep(5.0)
    network.start_raylet(first)
    wait_for_trials(driver, disturbed / "network", finished=5)
    cut_and_mend(network, second)
    finish(driver, timeout_s=DEADLINE_S)

    assert results(disturbed / "network") == results(alone / "network")
    for storage in (alone, disturbed):
        check_nothing_is_lost_or_double(storage / "network", num_runs=4 + 4 + 2, num_epochs=NUM_EPOCHS)


def cut_and_mend(network: NetworkNodes, node: Node) -> None:
    """Cut a node off for longer than Ray waits for it; what runs there goes on, and writes, until it finds out."""
    network.cut(node)
    time.sleep(CUT_S)
    network.mend(node)
    time.sleep(3.0)
    network.kill_raylet(node)  # a raylet that was given up ends itself; whatever is left of it ends here
    network.start_raylet(node)
