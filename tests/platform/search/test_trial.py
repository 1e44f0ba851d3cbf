"""A trial as a plain function, and on a real cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pretrieve.backbones import find_architecture
from pretrieve.backbones.backbone import identify, save_weights
from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.errors import ResourceError
from pretrieve.image_cache.store import CacheEntry, write_entry
from pretrieve.search.trial import run_trial
from pretrieve.search.tuner import ComputeSettings, TrialResources, run_tasks
from pretrieve.tracking import schema
from pretrieve.tracking.spool import SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec, TrialTask

MakeTask = Callable[..., TrialTask]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Make tasks over a small image cache and untrained weights."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 8)
    pixels = (labels[:, None, None, None] * 80 + rng.integers(0, 40, (24, 32, 32, 3))).astype(np.uint8)
    made = image_set_from_arrays("t", "abc", {"train": (pixels, labels)})
    write_entry(CacheEntry("train", made.splits["train"], 32), tmp_path / "images" / "train")
    architecture = find_architecture("small_resnet")
    torch.manual_seed(0)
    network = architecture.build()
    save_weights(network, tmp_path / "weights.pt")

    def make(key: str = "k", kind: Any = "trial", lr: float = 0.02, objective: str = "joint") -> TrialTask:
        uses_source = objective == "joint"
        point = Hyperparameters(lr=lr, source_weight=0.5 if uses_source else None)
        images = (tmp_path / "images" / "train",)
        return TrialTask(
            spec=TrialSpec(
                kind=kind, target="t", method="uot", objective=objective, hyperparameters=point, seed=1, key=key
            ),
            architecture_name="small_resnet",
            weights_path=tmp_path / "weights.pt",
            backbone_identity=identify(architecture, network.state_dict()),
            num_target_classes=3,
            num_source_classes=3 if uses_source else 0,
            training=TrainingSettings(epochs=3, batch_size=8),
            metric="top1",
            train=images,
            evaluate=images,
            source=images if uses_source else (),
            spool_path=tmp_path / "spool" / f"{key}.jsonl",
            checkpoint_path=tmp_path / "checkpoints" / f"{key}.pt",
            weights_out=tmp_path / "refits" / f"{key}.pt" if kind == "refit" else None,
            num_threads=1,
            provenance={},
        )

    return make


def epochs_of(task: TrialTask) -> list[SpooledEpoch]:
    return [line for line in read_spool(task.spool_path) if isinstance(line, SpooledEpoch)]


def end_of(task: TrialTask) -> SpooledEnd:
    end = read_spool(task.spool_path)[-1]
    assert isinstance(end, SpooledEnd)
    return end


@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_a_trial_records_each_epoch_with_its_validation_score(make_task: MakeTask, objective: str) -> None:
    task, reports = make_task(objective=objective), []
    assert run_trial(task, report=reports.append) == "finished"
    expected = {schema.VAL_SCORE, schema.LOSS_TARGET, schema.IMAGES_PER_S}
    expected |= {schema.LOSS_SOURCE} if objective == "joint" else set()
    assert [line.epoch for line in epochs_of(task)] == [1, 2, 3]
    assert all(set(line.metrics) == expected for line in epochs_of(task))
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert end_of(task).metrics[schema.SECONDS] > 0
    assert schema.TEST_SCORE not in end_of(task).metrics
    assert not task.checkpoint_path.exists()


def test_a_refit_looks_at_test_once_and_keeps_its_weights(make_task: MakeTask) -> None:
    task = make_task(kind="refit")
    run_trial(task, report=lambda metrics: None)
    assert all(schema.VAL_SCORE not in line.metrics for line in epochs_of(task))
    assert 0 <= end_of(task).metrics[schema.TEST_SCORE] <= 1
    assert task.weights_out is not None
    assert "target_head.weight" in torch.load(task.weights_out, weights_only=True)


def test_the_same_task_gives_the_same_numbers_to_the_bit(make_task: MakeTask) -> None:
    results = []
    for key in ("first", "second"):
        task = make_task(key=key)
        run_trial(task, report=lambda metrics: None)
        results.append([(line.metrics[schema.VAL_SCORE], line.metrics[schema.LOSS_TARGET]) for line in epochs_of(task)])
    assert results[0] == results[1]


def test_a_killed_trial_goes_on_from_its_checkpoint_with_the_same_numbers(make_task: MakeTask) -> None:
    whole, killed = make_task(key="whole"), make_task(key="killed")
    run_trial(whole, report=lambda metrics: None)

    def kill(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt  # not an Exception: the worker is gone without a word

    with pytest.raises(KeyboardInterrupt):
        run_trial(killed, report=kill)
    assert killed.checkpoint_path.exists()
    assert run_trial(killed, report=lambda metrics: None) == "finished"
    losses = [[line.metrics[schema.LOSS_TARGET] for line in epochs_of(task)] for task in (whole, killed)]
    assert losses[0] == losses[1]
    assert [line.epoch for line in epochs_of(killed)] == [1, 2, 3]


def test_a_trial_whose_end_was_never_delivered_is_not_trained_again(make_task: MakeTask) -> None:
    task, reports = make_task(), []
    run_trial(task, report=lambda metrics: None)
    before = task.spool_path.read_bytes()
    assert run_trial(task, report=reports.append) == "finished"
    assert reports == []
    assert task.spool_path.read_bytes() == before


def test_a_diverging_configuration_is_a_result_with_its_reason(make_task: MakeTask) -> None:
    task = make_task(lr=1e30)
    assert run_trial(task, report=lambda metrics: None) == "diverged"
    assert "the loss must stay finite" in end_of(task).message


def test_an_error_ends_that_trial_with_its_traceback(make_task: MakeTask) -> None:
    task = make_task().model_copy(update={"train": (Path("gone"),)})
    assert run_trial(task, report=lambda metrics: None) == "failed"
    assert "FileNotFoundError" in end_of(task).message


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def trial_started(self, task: TrialTask) -> None:
        self.heard.append(("started", task.spec.key))

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        self.heard.append(("epoch", task.spec.key))

    def trial_ended(self, task: TrialTask) -> None:
        self.heard.append(("ended", task.spec.key))

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        self.heard.append(("lost", task.spec.key))


@pytest.mark.usefixtures("ray_cluster")
def test_tasks_run_on_the_cluster_and_the_watcher_hears_of_each(make_task: MakeTask, tmp_path: Path) -> None:
    tasks = [make_task(key="a"), make_task(key="b", kind="refit"), make_task(key="c", lr=1e30)]
    watcher = Watcher()
    run_tasks(tasks, TrialResources(1, 0), tmp_path / "tune", watcher)
    for key in "abc":
        assert watcher.heard.count(("started", key)) == watcher.heard.count(("ended", key)) == 1
    assert watcher.heard.count(("epoch", "a")) == 3
    assert [end_of(task).outcome for task in tasks] == ["finished", "finished", "diverged"]
    assert not (tmp_path / "tune").exists()
    local = make_task(key="local")
    run_trial(local, report=lambda metrics: None)
    on_cluster = [line.metrics[schema.LOSS_TARGET] for line in epochs_of(tasks[0])]
    assert on_cluster == [line.metrics[schema.LOSS_TARGET] for line in epochs_of(local)]


def test_nothing_to_run_needs_no_cluster(tmp_path: Path) -> None:
    watcher = Watcher()
    run_tasks([], TrialResources(1, 0), tmp_path / "tune", watcher)
    assert watcher.heard == []


def test_a_trial_takes_a_share_of_a_gpu_where_there_is_one() -> None:
    settings = ComputeSettings()
    assert TrialResources.on_cluster(settings, [{"CPU": 4}, {"CPU": 4, "GPU": 1}]).bundle() == {"CPU": 1, "GPU": 0.25}
    assert TrialResources.on_cluster(settings, [{"CPU": 4}]).bundle() == {"CPU": 1}


@pytest.mark.parametrize(
    ("settings", "nodes"),
    [
        (ComputeSettings(cpus_per_trial=8), [{"CPU": 4}, {"CPU": 4}]),
        (ComputeSettings(gpus_per_trial=1), [{"CPU": 2}]),
        (ComputeSettings(cpus_per_trial=4, gpus_per_trial=1), [{"CPU": 8}, {"CPU": 2, "GPU": 1}]),
    ],
)
def test_what_no_single_node_has_is_refused(settings: ComputeSettings, nodes: list[dict[str, float]]) -> None:
    with pytest.raises(ResourceError, match="a trial must fit on one node, but compute asks for"):
        TrialResources.on_cluster(settings, nodes)


def test_more_than_one_gpu_is_a_whole_number_of_them() -> None:
    with pytest.raises(ValidationError, match="whole number"):
        ComputeSettings(gpus_per_trial=1.5)
