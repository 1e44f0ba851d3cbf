"""What a trial gets, where the study leaves it open: measured once, kept, and used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked_workers
import pytest

from pretrieve.artifacts.sealed_files import read_sealed
from pretrieve.execution.compute import ComputeSettings
from pretrieve.execution.measuring.packing import Node, open_share, with_packing
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

MakeSettings = Callable[..., StudySettings]
GPU_NODE = Node(num_cpus=16, num_gpus=2, device="a GPU")
CPU_NODE = Node(num_cpus=12, num_gpus=0, device="CPU")


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def test_only_what_the_study_leaves_open_is_measured() -> None:
    assert open_share(ComputeSettings(), GPU_NODE) == "gpus_per_trial"
    assert open_share(ComputeSettings(gpus_per_trial=0.5), GPU_NODE) is None
    assert open_share(ComputeSettings(workers_per_trial=2), GPU_NODE) is None
    assert open_share(ComputeSettings(), CPU_NODE) is None
    assert open_share(ComputeSettings(cpus_per_trial="auto"), CPU_NODE) == "cpus_per_trial"
    assert open_share(ComputeSettings(cpus_per_trial="auto", gpus_per_trial=0), GPU_NODE) == "cpus_per_trial"


def test_the_shares_of_a_gpu_together_are_not_more_than_it() -> None:
    for number in (1, 2, 3, 6, 8):
        share = with_packing(ComputeSettings(), number, GPU_NODE).gpus_per_trial
        assert share is not None
        assert number * share <= 1
        assert int(1 / share + 1e-9) == number
    assert with_packing(ComputeSettings(cpus_per_trial="auto"), 3, CPU_NODE).cpus_per_trial == 4


def test_threads_are_measured_before_the_first_trial_and_kept(make_settings: MakeSettings, ray_cluster: None) -> None:
    fields = {"compute": {"cpus_per_trial": "auto"}, "targets": ["tiny-a"], "seed": 41, "refit": {"num_seeds": 1}}
    ear = Ear()
    settings = make_settings(**fields)
    run_study(settings, ear)
    (told,) = [notice for notice in ear.notices if "compute.cpus_per_trial overrides it" in notice]
    assert "training steps a second of so many side by side: 1: " in told
    (kept,) = (settings.cache / "packings").glob("*.json")
    before = kept.read_bytes()
    more = Ear()
    run_study(make_settings(**{**fields, "seed": 42}), more)
    assert kept.read_bytes() == before
    assert not [notice for notice in more.notices if "overrides it" in notice], "measured once a kind of node"


SHARED_GPU = """
from forked_workers import cluster
from pretrieve import Study
from pretrieve.execution.measuring import packing

packing.MEASURED_S = 0.5
with cluster(num_cpus=2, num_gpus=1):
    record = Study.from_file({file!r}, overrides=["storage={storage}"]).run()
    assert record.is_finished
"""


@pytest.mark.long
def test_a_logical_gpu_is_shared_by_as_many_trials_as_give_the_most(tmp_path: Path) -> None:
    """Ray counts a GPU that torch does not see: everything of the packing but its arithmetic on a GPU."""
    from small_study import write_study

    one_trial = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5]}
    fields = {"methods": ["finetune"], "grid": one_trial, "refit": {"num_seeds": 1}}
    file = write_study(tmp_path, "packed", training={"epochs": 2, "batch_size": 8}, **fields)
    script = SHARED_GPU.format(file=str(file), storage=tmp_path / "runs")
    folder = Path(forked_workers.__file__).parent
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (kept,) = (tmp_path / "runs" / "cache" / "packings").glob("*.json")
    text = bytes(read_sealed(kept)).decode()
    assert '"num_side_by_side": ' in text
    assert "a GPU that torch does not see" in text
