"""Running one trial or refit, in the process that calls or on several workers."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrieve import metric_names
from pretrieve.artifacts.disk_space import is_disk_full, write_once_disk_has_space
from pretrieve.artifacts.sealed_files import is_kept, set_aside
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.components import OBJECTIVES
from pretrieve.data.metric_words import find_metrics
from pretrieve.errors import DamagedArtifactError, DivergedError
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.execution.heartbeat import Heartbeat
from pretrieve.execution.held_out import HeldOut
from pretrieve.execution.made_with import made_with
from pretrieve.execution.predictions import describe_predictions
from pretrieve.execution.prometheus_metrics import Report, exported
from pretrieve.execution.retries import is_of_ray_train, is_out_of_memory, kind_of_error, with_smaller_parts
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records.predictions import write_predictions
from pretrieve.statistics import fit_temperature
from pretrieve.tracking.spool import RESULTS, Outcome, Spool, this_worker
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning, LabelledImages, TrialInputs
from pretrieve.training.gradient_gap import measure_gradient_gap
from pretrieve.training.linear_heads import LinearHead
from pretrieve.training.loop import EpochCallback, EpochReport, StepPartName, fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import FeatureObjective
from pretrieve.training.process_group import ALONE, ProcessGroup
from pretrieve.training.trial_spec import TrialSpec

if TYPE_CHECKING:
    from ray.train import WorkerGroupError

WAITS_FOR_DISK_SPACE = "waits_for_disk_space"
"""Reported in place of an epoch's metrics while a trial waits for space on a full disk."""


def run_trial(task: TrialTask, *, report: Report) -> Outcome | None:
    """Train, score and record one trial, from its checkpoint if there is one.

    A trial scores val after each epoch; a refit scores test once, at its end. A step that does not fit into the memory
    of the device is computed in parts. The record says so, because batch norm then sees smaller batches. `report` is
    called with the metrics of each epoch.

    Returns None where the trial has done the folds of its round and waits; `finished`; `diverged` if the loss was not
    finite; `failed` if the program raised an error. The error is written into the spool, so that it ends this trial
    only. Raises OSError if a disk that the trial does not wait for is full, such as that of the node's local copies.
    """
    spool = Spool(task.spool_path)
    if spool.outcome in RESULTS:
        return spool.outcome  # it ended just before its driver was killed
    try:
        return _run_within_memory(task, spool, report)
    except Exception as error:  # any error of the user's code or the machine is recorded, and the study goes on
        if is_disk_full(error):
            raise  # the next attempt may find disk space
        if isinstance(error, DamagedArtifactError):
            set_aside(error)  # so that the next run of the study makes the file again
        spool.write_end("failed", {}, traceback.format_exc(), failure=kind_of_error(error))
        return "failed"


def _run_within_memory(task: TrialTask, spool: Spool, report: Report) -> Outcome | None:
    while True:
        try:
            return TrialProcess(task, spool, report).run()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            smaller = with_smaller_parts(task) if is_out_of_memory(error) else None
            if smaller is None:
                raise
        # Outside the except block, whose traceback holds the tensors of the step that did not fit.
        task = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def run_distributed_trial(
    task: TrialTask, *, resources: Mapping[str, float], scratch: Path, study: str, callbacks: list[Any] | None = None
) -> Outcome | None:
    """Run a trial on `task.num_workers` workers, which Ray Train starts, and wait for its end; see `run_trial`.

    Each worker has the `resources`, by Ray's names, and trains its part of every batch. The folder `scratch` is for Ray
    Train's own state. Ray Train calls the callbacks with each report of the workers. When the process of a worker is
    lost, Ray Train's exception passes through, so that the scheduler starts the trial again from its checkpoint.
    """
    spool = Spool(task.spool_path)
    if spool.outcome in RESULTS:
        return spool.outcome
    while True:
        error = _fit(task, resources, scratch, study, callbacks or [])
        # By type: Ray Train's message holds only the last part of each worker's error, and torch's message is long.
        no_memory = error is not None and any(is_out_of_memory(each) for each in error.worker_failures.values())
        if not no_memory or (smaller := with_smaller_parts(task)) is None:
            break
        task = smaller
    ended = Spool(task.spool_path)
    if error is None and ended.num_ends == spool.num_ends and task.is_waiting:
        return None
    if ended.outcome is None or ended.num_ends == spool.num_ends:  # the end in the spool is an earlier attempt's
        message = str(error or "its workers ended and gave no reason")
        ended.write_end("failed", {}, message, failure=kind_of_error(error) if error else "process lost")
        return "failed"
    return ended.outcome


def _fit(
    task: TrialTask, resources: Mapping[str, float], scratch: Path, study: str, callbacks: list[Any]
) -> WorkerGroupError | None:
    """Train once; return the error of the workers' own code, if any."""
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={"task": task.model_dump(mode="json"), "study": study},
        scaling_config=ScalingConfig(
            num_workers=task.num_workers, use_gpu=resources.get("GPU", 0) > 0, resources_per_worker=dict(resources)
        ),
        run_config=RunConfig(name=task.spec.key, storage_path=str(scratch.resolve()), callbacks=callbacks),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        # An error of a worker's own code arrives as it was raised. For a lost process Ray Train has its own error, and
        # the other workers then fail too, when they next average gradients.
        if any(is_of_ray_train(failure) for failure in error.worker_failures.values()):
            raise
        return error
    return None


def _train_worker(config: dict[str, Any]) -> None:
    import ray.train

    task, group = TrialTask.model_validate(config["task"]), ProcessGroup.current()
    if not group.is_first:
        TrialProcess(task, None, ray.train.report, group).run()
        return
    with exported(config["study"], task.spec, ray.train.report) as report:
        TrialProcess(task, Spool(task.spool_path), report, group).run()


@dataclass(frozen=True)
class TrialProcess:
    """One of the processes that train and score a trial. While the disk is full, its writes wait.

    Only the first process has a spool: it alone scores and records. `report` is called after each epoch, with epoch and
    seconds alone by a process without a spool. It does not return if the search stops the trial.
    """

    task: TrialTask
    spool: Spool | None
    report: Report
    process_group: ProcessGroup = ALONE
    _started_s: float = field(default_factory=time.perf_counter)

    def run(self) -> Outcome | None:
        """Run the trial from its checkpoint to its end, or to that of its round, where it returns None.

        Else it returns `finished` or `diverged`, or raises what ended it.
        """
        torch.set_num_threads(self.task.num_threads)
        outcome: Outcome = "finished"
        scores: dict[str, float] = {}
        num_parts, message = self.task.spec.num_parts, ""
        if num_parts > 1:
            message = (
                f"a step did not fit into the device's memory: it was computed in {num_parts} parts, and batch norm "
                "saw one part at a time"
            )
        heartbeat: AbstractContextManager[Callable[[], None]] = nullcontext(lambda: None)
        if self.spool is not None:
            with_what = made_with() if self.task.spec.kind == "refit" else None
            self._write(partial(self.spool.write_start, this_worker(), with_what))
            heartbeat = Heartbeat(self.task.spool_path).started(self.task.max_silence_s)
        checkpoint = CheckpointFile(self.task.checkpoint_path, self._write)
        try:
            with heartbeat as on_step:
                scores = self._train_and_score(checkpoint, on_step)
        except DivergedError as error:
            outcome, message = "diverged", str(error)
        if outcome == "finished" and self.task.until_fold is not None:
            return None
        if self.spool is not None:
            ended = {metric_names.SECONDS: self._seconds(), **scores}
            self._write(partial(self.spool.write_end, outcome, ended, message))
            self.task.remove_checkpoints()
        return outcome

    def _write(self, write: Callable[[], None]) -> None:
        write_once_disk_has_space(write, self._report_waiting)

    def _report_waiting(self) -> None:
        Heartbeat(self.task.spool_path).touch()
        # All processes of a trial report together, so the first, which alone writes, cannot report by itself.
        if self.process_group.size == 1:
            self.report({WAITS_FOR_DISK_SPACE: 1.0})

    def _seconds(self) -> float:
        return time.perf_counter() - self._started_s

    def _fit_and_score(self, objective: FeatureObjective) -> dict[str, float]:
        """Fit a head to features, record that as one epoch, and return the test scores of a refit."""
        task, spec = self.task, self.task.spec
        head, held_out, report = _fit_head(task, objective)
        scores = _scores(spec, held_out.logits, held_out.labels)
        is_trial = spec.kind == "trial"
        self._record(1, report.metrics | (scores if is_trial else {}))
        if is_trial:
            return {}
        network = TwoHeadNetwork(
            task.backbone.load(),
            feature_dim=head.weight.shape[1],
            num_target_classes=spec.num_target_classes,
            num_source_classes=0,
        )
        network.target_head.load_state_dict(head._asdict())
        self._write_weights(network)
        self._write_predictions(held_out.logits, held_out.labels)
        return scores

    def _score_folds(self, on_step: Callable[[], None]) -> dict[str, float]:
        """Score each fold by a training that did not see it; return the scores of all held-out images together.

        A fold counts as an epoch of the record, whose scores are those of all images held out so far. What a finished
        fold has computed is kept until the trial ends, with its seconds: those of the trial are their sum, however
        many processes it took.
        """
        numbers = range(len(self.task.folds))[: self.task.until_fold]
        folds = [self.task.of_fold(number) for number in numbers]
        kept = [self.task.held_out_path(number) for number in numbers]
        is_done = [is_kept(path) for path in kept]
        self.process_group.wait()  # so that all processes agree on the folds that are left
        found: list[HeldOut] = []
        scores: dict[str, float] = {}
        seconds = 0.0
        for number, (fold, path) in enumerate(zip(folds, kept, strict=True)):
            if not is_done[number]:
                started_s = time.perf_counter()
                held_out, report = self._train_fold(fold, on_step)
                report.metrics[metric_names.SECONDS] = time.perf_counter() - started_s
                if self.spool is not None:
                    self._write(partial(held_out.write, path, report.metrics))
                    CheckpointFile(fold.checkpoint_path).remove()
            if self.spool is None:
                self._record(number + 1, {})
                continue
            held_out, metrics = HeldOut.read(path)
            seconds += metrics.pop(metric_names.SECONDS, 0.0)
            found.append(held_out)
            logits, labels = torch.cat([each.logits for each in found]), torch.cat([each.labels for each in found])
            scores = _scores(self.task.spec, logits, labels)
            metrics[metric_names.FOLD_SCORE] = _scores(self.task.spec, held_out.logits, held_out.labels)[
                metric_names.VAL_SCORE
            ]
            if number + 1 == len(self.task.folds):
                metrics[metric_names.TEMPERATURE] = fit_temperature(logits.numpy(), labels.numpy())
            self._record(number + 1, metrics | scores)
        return {**scores, metric_names.SECONDS: seconds}

    def _train_fold(self, task: TrialTask, on_step: Callable[[], None]) -> tuple[HeldOut, EpochReport]:
        kind = OBJECTIVES.find(task.spec.objective)
        if issubclass(kind, FeatureObjective):
            _, held_out, report = _fit_head(task, kind.build(task.spec.hyperparameters, None))
            return held_out, report
        work, inputs = self._set_up(task, on_step)
        reports: list[EpochReport] = []
        callbacks: list[EpochCallback] = [_add_losses_and_speed, partial(_add_num_parts, work), reports.append]
        checkpoint = CheckpointFile(task.checkpoint_path, self._write)
        fine_tune(work, callbacks=callbacks, on_step=on_step, checkpoint=checkpoint)
        return HeldOut(_predict(work, inputs.evaluate, on_step), inputs.evaluate.labels), reports[-1]

    def _set_up(self, task: TrialTask, on_step: Callable[[], None]) -> tuple[FineTuning, TrialInputs]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            # The process may have run other trials before, whose peak is not this trial's.
            torch.cuda.reset_peak_memory_stats()
        inputs = task.inputs(on_step)
        return inputs.fine_tuning(task.spec, device=device, process_group=self.process_group), inputs

    def _write_weights(self, network: TwoHeadNetwork) -> None:
        path = self.task.weights_out
        assert path is not None, "the plan gives every refit a file for its weights"
        self._write(partial(write_weights, network.state_dict(), path))

    def _write_predictions(self, logits: Tensor, labels: Tensor) -> None:
        files = self.task.predictions
        assert files is not None, "the plan gives every refit a file for its predictions"
        self._write(partial(write_predictions, files.out, describe_predictions(self.task, logits, labels)))

    def _train_and_score(self, checkpoint: CheckpointFile, on_step: Callable[[], None]) -> dict[str, float]:
        """Train to the last epoch; return the test scores of a refit, in the process that records it."""
        task, spec = self.task, self.task.spec
        if task.folds:
            return self._score_folds(on_step)
        kind = OBJECTIVES.find(spec.objective)
        if issubclass(kind, FeatureObjective):
            return self._fit_and_score(kind.build(spec.hyperparameters, None))
        work, inputs = self._set_up(task, on_step)

        def measure(report: EpochReport) -> None:
            _add_losses_and_speed(report)
            _add_num_parts(work, report)
            if spec.kind == "trial":
                if work.settings.gradient_gap and work.objective.uses_source:
                    _add_gradient_gap(work, inputs.evaluate, report)
                logits = _predict(work, inputs.evaluate, on_step)
                report.metrics.update(_scores(spec, logits, inputs.evaluate.labels))

        def record(report: EpochReport) -> None:
            self._record(report.epoch, report.metrics)

        callbacks = [record] if self.spool is None else [measure, record]
        fine_tune(work, callbacks=callbacks, on_step=on_step, checkpoint=checkpoint)
        if spec.kind == "trial" or self.spool is None:
            return {}
        self._write_weights(work.network)
        logits, labels = _predict(work, inputs.evaluate, on_step), inputs.evaluate.labels
        self._write_predictions(logits, labels)
        return _scores(spec, logits, labels)

    def _record(self, epoch: int, metrics: Mapping[str, float]) -> None:
        if self.spool is not None:
            self._write(partial(self.spool.write_epoch, epoch, metrics))
        self.report({metric_names.EPOCH: float(epoch), **metrics, metric_names.SECONDS: self._seconds()})


def _fit_head(task: TrialTask, objective: FeatureObjective) -> tuple[LinearHead, HeldOut, EpochReport]:
    """Fit a head to the features of a task, and predict the images to score."""
    started_s = time.perf_counter()
    assert task.features is not None, "the plan gives features to every trial that is fitted to them"
    (features, labels), (evaluated, evaluated_labels) = task.features.to_train(), task.features.to_score()
    head = LinearHead(*objective.fit(features, labels, task.spec.num_target_classes))
    loss = float(F.cross_entropy(features @ head.weight.T + head.bias, labels))
    no_parts: dict[StepPartName, float] = {"data": 0.0, "forward": 0.0, "backward": 0.0}
    elapsed_s = time.perf_counter() - started_s
    report = EpochReport(1, loss, None, len(labels), elapsed_s, no_parts, {metric_names.LOSS_TARGET: loss})
    return head, HeldOut(evaluated @ head.weight.T + head.bias, evaluated_labels), report


def _predict(work: FineTuning, images: LabelledImages, on_step: Callable[[], None]) -> Tensor:
    """Predict the images to score; see `predict_logits`. Raises DivergedError if an output is not finite."""
    logits = predict_logits(work.network, images, work.preprocessing, work.device, on_step)
    if num_wrong := int((~logits.isfinite()).any(1).sum()):
        raise DivergedError(
            f"predictions must be finite, but those for {num_wrong} of {len(logits)} images are not "
            f"({work.hyperparameters.describe()}); try a smaller learning rate"
        )
    return logits


def _scores(spec: TrialSpec, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute the metrics of the target; the first is the score, which decides."""
    metrics, prefix = find_metrics([spec.metric, *spec.further_metrics]), metric_names.SPLIT_PREFIX[spec.kind]
    names, outputs = ["score", *(metric.name for metric in metrics[1:])], logits.double().numpy()
    return {prefix + name: each.compute(outputs, labels.numpy()) for name, each in zip(names, metrics, strict=True)}


def _add_losses_and_speed(report: EpochReport) -> None:
    """Add the mean losses, images of both streams per second, the share of time of each part of a step, and GPU memory.

    Shares are in [0, 1]. The memory is the peak of all tensors in 10^9 bytes; without a GPU it is left out.
    """
    report.metrics[metric_names.LOSS_TARGET] = report.loss_target
    if report.loss_source is not None:
        report.metrics[metric_names.LOSS_SOURCE] = report.loss_source
    report.metrics[metric_names.IMAGES_PER_S] = report.num_images / report.elapsed_s
    report.metrics[metric_names.INPUT_WAIT_FRACTION] = report.part_s["data"] / report.elapsed_s
    report.metrics[metric_names.FORWARD_FRACTION] = report.part_s["forward"] / report.elapsed_s
    report.metrics[metric_names.BACKWARD_FRACTION] = report.part_s["backward"] / report.elapsed_s
    if torch.cuda.is_available():
        report.metrics[metric_names.GPU_MEMORY_GB] = torch.cuda.max_memory_allocated() / 1e9


def _add_num_parts(work: FineTuning, report: EpochReport) -> None:
    if (num_parts := len(work.parts)) > 1:
        report.metrics[metric_names.NUM_PARTS] = float(num_parts)


def _add_gradient_gap(work: FineTuning, held_out: LabelledImages, report: EpochReport) -> None:
    """Add δ² of Theorem 1 at the weights of the epoch's end, with its parts."""
    gap = measure_gradient_gap(work, held_out)
    report.metrics[metric_names.GRADIENT_GAP] = gap.delta_squared
    report.metrics[metric_names.GRADIENT_GAP_COSINE] = gap.cosine
    report.metrics[metric_names.TARGET_GRADIENT_NORM] = gap.target_norm_squared
    report.metrics[metric_names.SOURCE_GRADIENT_NORM] = gap.source_norm_squared
