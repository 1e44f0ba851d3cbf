"""Running one trial or refit: a plain function that a Ray worker or a test calls."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from pretrieve import __version__, metrics
from pretrieve.artifacts.full_disk import is_disk_full, write_once_disk_has_space
from pretrieve.artifacts.seals import DamagedArtifactError
from pretrieve.artifacts.store import set_aside
from pretrieve.backbones.state_dicts import save_weights
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.execution.heartbeat import Heartbeat
from pretrieve.execution.retries import is_out_of_memory, kind_of_error, with_smaller_parts
from pretrieve.execution.trial_task import TrialTask
from pretrieve.tracking.spool import RESULTS, Outcome, Spool, this_worker
from pretrieve.training.evaluation import accuracy, predict
from pretrieve.training.fine_tuning import FineTuning, LabelledImages
from pretrieve.training.gradient_gap import measure_gradient_gap
from pretrieve.training.loop import DivergedError, EpochCallback, EpochReport, fine_tune
from pretrieve.training.process_group import ALONE, ProcessGroup

Report = Callable[[dict[str, float]], None]

WAITS_FOR_DISK_SPACE = "waits_for_disk_space"
"""Reported in place of an epoch's metrics while a trial waits for space on a full disk."""


def run_trial(task: TrialTask, *, report: Report) -> Outcome:
    """Train, score and record one trial, from its checkpoint if there is one.

    A trial scores val after each epoch; a refit scores test once, at its end. A step that does not fit into the memory
    of the device is computed in parts. The record says so, because batch norm then sees smaller batches.

    Args:
      task: the trial.
      report: called with the metrics of each epoch.

    Returns:
      `finished`; `diverged` if the loss was not finite; `failed` if the program raised an error. The error is written
      into the spool, so that it ends this trial only.

    Raises:
      OSError: a disk that the trial does not wait for is full, such as that of the node's local copies.
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


def _run_within_memory(task: TrialTask, spool: Spool, report: Report) -> Outcome:
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


@dataclass(frozen=True)
class TrialProcess:
    """One of the processes that train and score a trial. While the disk is full, its writes wait.

    Attributes:
      task: the trial.
      spool: of the first process, the only one that scores and records; None for any other.
      report: called after each epoch, with epoch and seconds alone by a process without a spool. It does not return if
        the search stops the trial.
      process_group: the processes of the trial.
    """

    task: TrialTask
    spool: Spool | None
    report: Report
    process_group: ProcessGroup = ALONE
    _started_s: float = field(default_factory=time.perf_counter)

    def run(self) -> Outcome:
        """Run the trial from its checkpoint to its end; return `finished` or `diverged`, or raise what ended it."""
        torch.set_num_threads(self.task.num_threads)
        if self.spool is not None:
            made_with = _made_with() if self.task.spec.kind == "refit" else None
            self._write(partial(self.spool.write_start, this_worker(), made_with))
        checkpoint = CheckpointFile(self.task.checkpoint_path, self._write)
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
            heartbeat = Heartbeat(self.task.spool_path).started(self.task.max_silence_s)
        try:
            with heartbeat as on_step:
                scores = self._train_and_score(checkpoint, on_step)
        except DivergedError as error:
            outcome, message = "diverged", str(error)
        if self.spool is not None:
            ended = {**scores, metrics.SECONDS: self._seconds()}
            self._write(partial(self.spool.write_end, outcome, ended, message))
            checkpoint.remove()
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

    def _train_and_score(self, checkpoint: CheckpointFile, on_step: Callable[[], None]) -> dict[str, float]:
        """Train to the last epoch; return the test score of a refit, in the process that records it."""
        task, spec = self.task, self.task.spec
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            # The process may have run other trials before, whose peak is not this trial's.
            torch.cuda.reset_peak_memory_stats()
        inputs = task.inputs(on_step)
        work = inputs.fine_tuning(spec, device=device, process_group=self.process_group)

        def score() -> float:
            predictions = predict(work.network, inputs.evaluate, work.preprocessing, device, on_step)
            return accuracy(predictions, inputs.evaluate.labels, spec.metric)

        measurements = [] if self.spool is None else self._measurements(work, inputs.evaluate, score)
        fine_tune(work, callbacks=[*measurements, self._record], on_step=on_step, checkpoint=checkpoint)
        if spec.kind == "trial" or self.spool is None:
            return {}
        assert task.weights_out is not None, "the plan gives every refit a place for its weights"
        self._write(partial(save_weights, work.network, task.weights_out))
        return {metrics.TEST_SCORE: score()}

    def _measurements(
        self, work: FineTuning, evaluate: LabelledImages, score: Callable[[], float]
    ) -> list[EpochCallback]:
        measurements: list[EpochCallback] = [_add_losses_and_speed]
        if work.num_parts > 1:
            measurements.append(lambda report: report.metrics.update({metrics.NUM_PARTS: float(work.num_parts)}))
        if self.task.spec.kind == "trial":
            if work.settings.gradient_gap and work.objective.uses_source:
                measurements.append(partial(_add_gradient_gap, work, evaluate))
            measurements.append(lambda report: report.metrics.update({metrics.VAL_SCORE: score()}))
        return measurements

    def _record(self, report: EpochReport) -> None:
        if self.spool is not None:
            self._write(partial(self.spool.write_epoch, report.epoch, report.metrics))
        self.report({metrics.EPOCH: float(report.epoch), **report.metrics, metrics.SECONDS: self._seconds()})


def _add_losses_and_speed(report: EpochReport) -> None:
    """Add the mean losses, images of both streams per second, the share of time of each part of a step, and GPU memory.

    Shares are in [0, 1]. The memory is the peak of all tensors in 10^9 bytes; without a GPU it is left out.
    """
    report.metrics[metrics.LOSS_TARGET] = report.loss_target
    if report.loss_source is not None:
        report.metrics[metrics.LOSS_SOURCE] = report.loss_source
    report.metrics[metrics.IMAGES_PER_S] = report.num_images / report.elapsed_s
    report.metrics[metrics.INPUT_WAIT_FRACTION] = report.part_s["data"] / report.elapsed_s
    report.metrics[metrics.FORWARD_FRACTION] = report.part_s["forward"] / report.elapsed_s
    report.metrics[metrics.BACKWARD_FRACTION] = report.part_s["backward"] / report.elapsed_s
    if torch.cuda.is_available():
        report.metrics[metrics.GPU_MEMORY_GB] = torch.cuda.max_memory_allocated() / 1e9


def _add_gradient_gap(work: FineTuning, held_out: LabelledImages, report: EpochReport) -> None:
    """Add δ² of Theorem 1 at the weights of the epoch's end, with its parts."""
    gap = measure_gradient_gap(work, held_out)
    report.metrics[metrics.GRADIENT_GAP] = gap.delta_squared
    report.metrics[metrics.GRADIENT_GAP_COSINE] = gap.cosine
    report.metrics[metrics.TARGET_GRADIENT_NORM] = gap.target_norm_squared
    report.metrics[metrics.SOURCE_GRADIENT_NORM] = gap.source_norm_squared


def _made_with() -> dict[str, str]:
    """Name what the numbers of this process depend on beside its task: machine, device, threads and versions."""
    return {
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pretrieve": __version__,
    }


def _cpu_name() -> str:
    """Return the processor's name; where the system does not tell it, the word CPU."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        told = ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"
