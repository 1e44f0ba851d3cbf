"""The board of the cluster shows figures that Ray's exporter has while trials run."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from pretrieve.execution.compute import TrialResources
from pretrieve.execution.prometheus_metrics import export_epoch
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import TrialWatcher
from pretrieve.execution.tuner import run_tasks
from pretrieve.tracking import schema
from pretrieve.tracking.spool import FailureKind, SpooledEnd, read_spool
from pretrieve.training.settings import TrainingSettings

OF_RAY = {"ray_node_gram_used"}
"""Ray's own, exported only where a node has a GPU."""
EXPORT_S = 60.0


@pytest.fixture(scope="module")
def board(repository: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (repository / "jobs" / "deploy" / "grafana_dashboard.json").read_text(encoding="utf-8")
    )
    return loaded


def figures_shown(board: dict[str, Any]) -> set[str]:
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"
    ]
    return {name for expression in expressions for name in re.findall(r"\bray_\w+", expression)}


class Exporter:
    """Reads what Ray's exporter on the local node has of the study, again and again, while the block runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.lines: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read_on, daemon=True)

    def __enter__(self) -> Exporter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def has(self, tag: str) -> bool:
        """Tell whether a figure with this tag was seen."""
        return any(tag in line for line in list(self.lines))

    def read(self) -> None:
        node = ray.nodes()[0]
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=10) as reply:
            lines = [line for line in reply.read().decode().splitlines() if 'study="board"' in line]
        self.seen |= {re.split(r"[{ ]", line)[0] for line in lines}
        self.lines += lines

    def _read_on(self) -> None:
        while not self._stopped.wait(1.0):
            self.read()


class Ends(TrialWatcher):
    """Says how trials ended as their spools do."""

    def trial_ended(self, task: TrialTask) -> FailureKind | None:
        end = read_spool(task.spool_path)[-1]
        assert isinstance(end, SpooledEnd)
        return end.failure


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_every_figure_of_the_board_is_exported_while_a_study_runs(
    board: dict[str, Any], make_task: Callable[..., TrialTask], tmp_path: Path
) -> None:
    long = make_task(key="long", training=TrainingSettings(epochs=120, batch_size=8))
    unstartable = make_task(key="unstartable")
    unstartable.spool_path.parent.mkdir(parents=True, exist_ok=True)
    unstartable.spool_path.mkdir()  # raises outside of what a trial records, so its process counts as a failure
    shown = figures_shown(board) - OF_RAY

    @ray.remote
    def worker_with_a_gpu() -> None:
        """Export a figure that is made up, since no GPU is here."""
        export_epoch("board", long.spec, {schema.GPU_MEMORY_GB: 1.5})
        time.sleep(20.0)

    with Exporter() as exporter:
        made_up = worker_with_a_gpu.options(num_cpus=0).remote()
        run_tasks([unstartable, long], TrialResources(1, 0), tmp_path / "tune", Ends(), study="board")
        deadline = time.monotonic() + EXPORT_S
        while not exporter.has('end="result"') and time.monotonic() < deadline:
            time.sleep(0.5)
        ray.get(made_up)

    assert shown == {name for name in exporter.seen if not name.endswith("_created")}
    assert exporter.has('kind="program error"')
    assert exporter.has('end="result"')


def test_the_board_is_laid_out_without_overlap_and_says_what_each_panel_shows(board: dict[str, Any]) -> None:
    cells = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
        for panel in board["panels"]
        for column in range(panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert all(panel["description"].endswith(".") for panel in board["panels"])
