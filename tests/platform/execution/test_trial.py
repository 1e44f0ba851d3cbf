"""A trial as a plain function, and on a real cluster."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from pretrieve.backbones import find_architecture, register_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.scored_images import read_scored_images, write_scored_images
from pretrieve.errors import ResourceError
from pretrieve.execution.compute import ComputeSettings, TrialResources
from pretrieve.execution.made_with import made_with
from pretrieve.execution.predictions import predict_again, score_of
from pretrieve.execution.retries import with_smaller_parts
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.execution.trial import WAITS_FOR_DISK_SPACE, run_trial
from pretrieve.execution.trial_task import TrainingFiles, TrialTask
from pretrieve.execution.tune_events import TrialWatcher
from pretrieve.execution.tuner import run_tasks
from pretrieve.records.predictions import KeptPredictions, read_predictions, write_predictions
from pretrieve.tracking import schema
from pretrieve.tracking.spool import SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.loop import fine_tune
from pretrieve.training.settings import TrainingSettings

MakeTask = Callable[..., TrialTask]
WITH_GAP = TrainingSettings(epochs=3, batch_size=8, gradient_gap=True)


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
    expected = {schema.VAL_SCORE, schema.LOSS_TARGET, schema.IMAGES_PER_S, schema.INPUT_WAIT_FRACTION}
    expected |= {schema.FORWARD_FRACTION, schema.BACKWARD_FRACTION}
    expected |= {schema.LOSS_SOURCE} if objective == "joint" else set()
    assert [line.epoch for line in epochs_of(task)] == [1, 2, 3]
    assert all(set(line.metrics) == expected for line in epochs_of(task))
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert end_of(task).metrics[schema.SECONDS] > 0
    assert schema.TEST_SCORE not in end_of(task).metrics
    assert not task.checkpoint_path.exists()


OWN_OPTIMIZER = '''
import torch

from pretrieve.training.optimizers import Optimizer


class Adagrad(Optimizer):
    """Scale each step by all gradients so far."""

    name = "adagrad"
    num_state_per_weight = 1

    def __init__(self, first_sum: float = 0.0) -> None:
        super().__init__()
        self.first_sum = first_sum

    def build(self, network, hyperparameters, training):
        groups = self.groups(network, hyperparameters)
        return torch.optim.Adagrad(groups, initial_accumulator_value=self.first_sum)
'''


def test_a_trial_trains_with_an_optimizer_of_the_users_own(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optimizer_of_mine.py").write_text(OWN_OPTIMIZER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    training = TrainingSettings(
        epochs=3, batch_size=8, optimizer="optimizer_of_mine:Adagrad", optimizer_settings={"first_sum": 0.5}
    )
    plain, mine = make_task(key="plain"), make_task(key="mine", training=training)
    for task in (plain, TrialTask.model_validate_json(mine.model_dump_json())):
        assert run_trial(task, report=lambda metrics: None) == "finished"
    losses = [[line.metrics[schema.LOSS_TARGET] for line in epochs_of(task)] for task in (plain, mine)]
    assert losses[0] != losses[1]
    assert losses[1][-1] < losses[1][0]
    assert mine.parameters()["training.optimizer_settings.first_sum"] == 0.5


def test_a_refit_looks_at_test_once_and_keeps_its_weights(make_task: MakeTask) -> None:
    task = make_task(kind="refit")
    run_trial(task, report=lambda metrics: None)
    assert all(schema.VAL_SCORE not in line.metrics for line in epochs_of(task))
    assert 0 <= end_of(task).metrics[schema.TEST_SCORE] <= 1
    assert task.weights_out is not None
    assert "target_head.weight" in torch.load(task.weights_out, weights_only=True)


@pytest.mark.parametrize("kind", ["trial", "refit"])
def test_what_stands_beside_the_weights_in_a_training_is_not_in_those_of_a_refit(
    make_task: MakeTask, kind: str
) -> None:
    settings = {"batch_norm": "target_only", "learns": 2, "weight_average": 0.9, "max_gradient_norm": 1.0}
    training = TrainingSettings(epochs=2, batch_size=8, gradient_gap=kind == "trial", **settings)
    task = make_task(objective="joint", kind=kind, training=training)
    assert run_trial(task, report=lambda metrics: None) == "finished"
    if task.weights_out is not None:
        kept = torch.load(task.weights_out, weights_only=True)
        names = {f"backbone.{name}" for name in find_architecture("small_resnet").build().state_dict()}
        assert {name for name in kept if "head" not in name} == names


@pytest.mark.parametrize("kind", ["trial", "refit"])
def test_further_metrics_are_recorded_beside_the_score_and_change_nothing_else(make_task: MakeTask, kind: str) -> None:
    plain, measured = make_task(key="plain", kind=kind), make_task(key="measured", kind=kind)
    further = ("auroc", "own_metric:Confidence", "mean_per_class")
    spec = measured.spec.model_copy(update={"further_metrics": further})
    measured = measured.model_copy(update={"spec": spec})
    lines = []
    for task in (plain, measured):
        assert run_trial(task, report=lambda metrics: None) == "finished"
        lines.append([dict(line.metrics) for line in (*epochs_of(task), end_of(task))])
    prefix, scored = ("val/", lines[1][:-1]) if kind == "trial" else ("test/", lines[1][-1:])
    # Each class has as many images, so that the mean of the classes is that of the images.
    assert all(figures[prefix + "mean_per_class"] == pytest.approx(figures[prefix + "score"]) for figures in scored)
    assert all(0 < figures[prefix + name] <= 1 for figures in scored for name in ("auroc", "confidence"))
    names = {prefix + name for name in ("auroc", "confidence", "mean_per_class")}
    assert [set(now) - set(before) for before, now in zip(*lines, strict=True)] == [
        names if figures in scored else set() for figures in lines[1]
    ]
    for name in (schema.VAL_SCORE, schema.TEST_SCORE, schema.LOSS_TARGET):
        assert [each.get(name) for each in lines[0]] == [each.get(name) for each in lines[1]]
    if kind == "refit":
        weights = [torch.load(task.weights_out, weights_only=True) for task in (plain, measured)]
        assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_a_metric_out_of_range_ends_the_trial_with_its_name(make_task: MakeTask) -> None:
    task = make_task()
    spec = task.spec.model_copy(update={"further_metrics": ("own_metric:Percent",)})
    assert run_trial(task.model_copy(update={"spec": spec}), report=lambda metrics: None) == "failed"
    assert "the metric 'percent' must give a number in [0, 1], but gave" in end_of(task).message


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


def predictions_of(task: TrialTask) -> KeptPredictions:
    assert task.predictions is not None
    return read_predictions(task.predictions.out)


@pytest.mark.parametrize("objective", ["finetune", "joint"])
def test_a_refit_keeps_the_predictions_that_give_its_score(make_task: MakeTask, objective: str) -> None:
    task = make_task(kind="refit", objective=objective)
    assert run_trial(task, report=lambda metrics: None) == "finished"
    kept = predictions_of(task)
    assert (kept.key, kept.target, kept.method, kept.seed, kept.class_names) == ("k", "t", "uot", 1, ("a", "b", "c"))
    assert kept.made_with == made_with()
    assert score_of(task.spec, kept) == end_of(task).metrics[schema.TEST_SCORE]
    assert (kept.predicted == kept.labels).mean() == end_of(task).metrics[schema.TEST_SCORE]
    again = predict_again(task)
    assert again.scores.tobytes() == kept.scores.tobytes(), "the weights on record give the same scores"
    assert again.images.tolist() == kept.images.tolist()


def test_the_weights_of_a_network_in_torchs_own_order_give_the_same_scores_again(
    make_task: MakeTask, tmp_path: Path
) -> None:
    """It cannot be channels-last, as other networks are when they predict."""
    name = "own_networks:five_dimensional"
    write_weights(find_architecture(name).build().state_dict(), tmp_path / "own.pt")
    fields = {"architecture_name": name, "weights_path": tmp_path / "own.pt"}
    task = make_task(kind="refit", objective="finetune").model_copy(update=fields)
    assert run_trial(task, report=lambda metrics: None) == "finished"
    assert predict_again(task).scores.tobytes() == predictions_of(task).scores.tobytes()


def test_a_killed_refit_keeps_the_predictions_of_one_left_alone(make_task: MakeTask) -> None:
    whole, killed = make_task(key="whole", kind="refit"), make_task(key="killed", kind="refit")
    run_trial(whole, report=lambda metrics: None)

    def kill(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(killed, report=kill)
    assert killed.predictions is not None
    assert not killed.predictions.out.exists()
    assert run_trial(killed, report=lambda metrics: None) == "finished"
    assert predictions_of(killed).scores.tobytes() == predictions_of(whole).scores.tobytes()


def test_a_refit_of_other_images_than_those_on_record_names_none(make_task: MakeTask) -> None:
    task = make_task(kind="refit")
    assert task.predictions is not None
    images = read_scored_images(task.predictions.images)
    write_scored_images(task.predictions.images, replace(images, labels=images.labels[::-1]))
    assert run_trial(task, report=lambda metrics: None) == "failed"
    assert "the 24 images that a refit scores must be the 24 that are listed in" in end_of(task).message
    assert not task.predictions.out.exists()


def test_a_refit_waits_to_write_its_predictions_while_the_disk_is_full(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, tried = make_task(kind="refit", training=TrainingSettings(epochs=1, batch_size=8)), []

    def write(path: Path, predictions: KeptPredictions) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.ENOSPC, "no space left on the device")
        write_predictions(path, predictions)

    monkeypatch.setattr("pretrieve.execution.trial.write_predictions", write)
    monkeypatch.setattr("pretrieve.artifacts.disk_space.LOOK_INTERVAL_S", 0.0)
    reports: list[dict[str, float]] = []
    assert run_trial(task, report=reports.append) == "finished"
    assert len(tried) == 2
    assert {WAITS_FOR_DISK_SPACE: 1.0} in reports
    assert score_of(task.spec, predictions_of(task)) == end_of(task).metrics[schema.TEST_SCORE]


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


@pytest.mark.parametrize(("kind", "num_folds"), [("trial", 0), ("trial", 2), ("refit", 0)])
def test_predictions_that_are_no_numbers_are_no_score(make_task: MakeTask, kind: str, num_folds: int) -> None:
    """Means of batch norm that are finite and far too large make them so; the losses of the training stay finite."""
    task = make_task(kind=kind, lr=1e-4)
    fold = TrainingFiles(train=task.train, evaluate=task.evaluate, source=task.source)
    task = task.model_copy(update={"folds": (fold,) * num_folds})
    state = find_architecture("small_resnet").build().state_dict()
    for name in state:
        if name.endswith("running_mean"):
            state[name].fill_(-3e38)
    write_weights(state, task.weights_path)
    assert run_trial(task, report=lambda metrics: None) == "diverged"
    assert "predictions must be finite, but those for 24 of 24 images are not" in end_of(task).message
    assert task.predictions is None or not task.predictions.out.exists()


def test_an_error_ends_that_trial_with_its_traceback(make_task: MakeTask) -> None:
    task = make_task().model_copy(update={"train": StoredRows(folders=(Path("gone"),))})
    assert run_trial(task, report=lambda metrics: None) == "failed"
    assert "FileNotFoundError" in end_of(task).message


class Watcher(TrialWatcher):
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


class SmallDevice(torch.nn.Module):
    """Stands for a device whose memory holds so many images: a fake, since a CPU has no such error."""

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self.network = find_architecture("small_resnet").build()
        self._num_images = num_images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > self._num_images:
            raise torch.OutOfMemoryError(f"tried to hold {len(images)} images")
        features: torch.Tensor = self.network(images)
        return features


def on_small_device(task: TrialTask, num_images: int) -> TrialTask:
    architecture = replace(
        find_architecture("small_resnet"), name=f"small-device-{num_images}", build=lambda: SmallDevice(num_images)
    )
    register_architecture(architecture)
    torch.manual_seed(0)
    weights = task.weights_path.with_name(f"{num_images}.pt")
    write_weights(architecture.build().state_dict(), weights)
    return task.model_copy(update={"architecture_name": architecture.name, "weights_path": weights})


def test_a_step_that_does_not_fit_is_computed_in_parts_and_the_record_says_so(make_task: MakeTask) -> None:
    task = on_small_device(make_task(), num_images=4)  # of 8 + 8
    assert run_trial(task, report=lambda metrics: None) == "finished"
    assert [line.metrics[schema.NUM_PARTS] for line in epochs_of(task)] == [4, 4, 4]
    assert "computed in 4 parts, and batch norm saw one part at a time" in end_of(task).message


def test_a_trial_that_does_not_fit_in_parts_of_two_has_failed(make_task: MakeTask) -> None:
    task = on_small_device(make_task(objective="finetune"), num_images=1)
    assert run_trial(task, report=lambda metrics: None) == "failed"
    assert "OutOfMemoryError: tried to hold 2 images" in end_of(task).message


def test_parts_divide_both_streams(make_task: MakeTask) -> None:
    found, parts = make_task(training=TrainingSettings(batch_size=24, source_batch_size=36)), []
    while (found := with_smaller_parts(found)) is not None:
        parts.append(found.spec.num_parts)
    assert parts == [2, 4, 12]


def test_the_gradient_gap_is_recorded_on_request_and_changes_nothing(make_task: MakeTask) -> None:
    plain, measured = make_task(key="plain"), make_task(key="measured", training=WITH_GAP)
    for task in (plain, measured):
        assert run_trial(task, report=lambda metrics: None) == "finished"
    for before, after in zip(epochs_of(plain), epochs_of(measured), strict=True):
        assert after.metrics[schema.LOSS_TARGET] == before.metrics[schema.LOSS_TARGET]
        assert after.metrics[schema.GRADIENT_GAP] > 0
        assert -1 <= after.metrics[schema.GRADIENT_GAP_COSINE] <= 1
        assert schema.GRADIENT_GAP not in before.metrics


def test_a_trial_computes_the_same_without_its_process(make_task: MakeTask) -> None:
    """Spool, checkpoint and heartbeat change no number: training knows of none of them."""
    task = make_task()
    losses: list[float] = []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work = task.inputs(lambda: None).fine_tuning(task.spec, device=device)
    fine_tune(work, callbacks=[lambda report: losses.append(report.loss_target)])
    assert run_trial(task, report=lambda metrics: None) == "finished"
    assert losses == [line.metrics[schema.LOSS_TARGET] for line in epochs_of(task)]


def test_a_method_without_a_source_stream_has_no_gap(make_task: MakeTask) -> None:
    task = make_task(objective="finetune", training=WITH_GAP)
    assert run_trial(task, report=lambda metrics: None) == "finished"
    assert all(schema.GRADIENT_GAP not in line.metrics for line in epochs_of(task))


def test_a_worker_loads_no_torchvision_before_it_needs_it() -> None:
    """Each worker's process imports this anew, and torchvision takes a second or two."""
    code = "import sys, pretrieve.execution.tuner; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
