"""Tune's events in the driver: each goes on to a watcher; failed, silent and broken trials are handled here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import ray
from ray import cloudpickle, tune

from pretrieve import metric_names
from pretrieve.artifacts.disk_space import write_once_disk_has_space
from pretrieve.artifacts.keys import content_key
from pretrieve.execution.heartbeat import Heartbeat
from pretrieve.execution.prometheus_metrics import StudyMetrics
from pretrieve.execution.retries import kind_of_error
from pretrieve.execution.trial import WAITS_FOR_DISK_SPACE
from pretrieve.execution.trial_task import TrialTask
from pretrieve.search.early_stopping import Stop
from pretrieve.search.tune_search import TuneSearch
from pretrieve.tracking.spool import DriverSpool, FailureKind, Spool
from pretrieve.training.trial_spec import TrialSpec

MAX_STARTS = 20
"""Most starts of a trial, not counting lost nodes, even if its process cannot read its earlier failures."""
LOOK_INTERVAL_S = 1.0
START_TIME_S = 600.0
"""How long a process may take until its first step: it first imports, reads weights and perhaps copies images."""
MAX_MESSAGE_LENGTH = 4_000


class TrialWatcher:
    """Follows the trials in the driver's process; this base class does nothing."""

    def trial_started(self, task: TrialTask) -> None:
        """Note that a worker begins the trial, or begins it again after its process was lost."""

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        """Note that an epoch is done."""

    def trial_waits_for_disk(self, task: TrialTask) -> None:
        """Note, every few seconds, that the trial cannot write because the disk is full."""

    def trial_interrupted(self, task: TrialTask, kind: FailureKind, message: str) -> None:
        """Note that the trial's process ended early; the kind of failure decides whether the trial starts again."""

    def trial_ended(self, task: TrialTask) -> FailureKind | None:
        """Note that the trial returned, with its outcome in its spool; return the kind of its failure."""
        return None

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        """Note that the trial's process could not be started; its end is recorded nowhere."""

    def trial_dropped(self, task: TrialTask, stop: Stop) -> None:
        """Note that the trial, which waits, does not go on: it is behind others of its cell."""

    def trial_skipped(self, task: TrialTask) -> None:
        """Note that the trial does not run, because a program error stopped its cell or the training is over."""

    def is_over(self) -> bool:
        """Return whether the training is over: running trials are stopped, waiting ones do not start."""
        return False


def stop_file(scratch: Path, spec: TrialSpec) -> Path:
    """Return the file that, while it exists, keeps the trials of a cell from starting."""
    return scratch / f"stopped-{content_key(target=spec.target, method=spec.method)}"


def last_error(trial: Any) -> BaseException | None:
    """Return the last error of a trial's process, or None if Tune knows of none.

    Tune's own `get_pickled_error` reads a copy in the shared folder, which may still be empty while a thread writes it.
    The original file is whole.
    """
    if trial.pickled_error_file is None:
        return None
    try:
        return cast("BaseException", cloudpickle.loads(Path(trial.pickled_error_file).read_bytes()))
    except Exception:  # unpickling an exception of the user's own class may raise anything
        return RuntimeError(_end_of_error_file(trial))


def _end_of_error_file(trial: Any) -> str:
    return Path(trial.error_file).read_text(encoding="utf-8")[-2_000:] if trial.error_file else "no reason given"


def record_stop(task: TrialTask, stop: Stop) -> None:
    """Write the end of a stopped trial and remove its checkpoint.

    The driver does it, because the trial's own thread ends within its report of the epoch, where it waits for the
    decision.
    """
    ended = {metric_names.STOPPED_EPOCH: float(stop.epoch), metric_names.SECONDS: stop.seconds}
    Spool(task.spool_path).write_end("stopped", ended, stop.describe())
    task.remove_checkpoints()


class EndOfAll(tune.Stopper):
    """Stops all trials once the watcher says that the training is over; asks it at most once a second."""

    def __init__(self, watcher: TrialWatcher) -> None:
        self._watcher = watcher
        self._asked_at_s = 0.0
        self._is_over = False

    def __reduce__(self) -> tuple[type, tuple[TrialWatcher]]:
        """Pickle as one that never stops: Tune saves its stopper to restore it, but the ledger does that."""
        return EndOfAll, (TrialWatcher(),)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self._is_over and time.monotonic() - self._asked_at_s >= LOOK_INTERVAL_S:
            self._is_over = self._watcher.is_over()
            self._asked_at_s = time.monotonic()
        return self._is_over


class TuneEvents(tune.Callback):
    """The callbacks of Tune's events in the driver.

    `by_key` holds the tasks that are known beforehand; a search may propose others. The workers read the folder
    `scratch` too.
    """

    def __init__(
        self,
        by_key: Mapping[str, TrialTask],
        watcher: TrialWatcher,
        scratch: Path,
        prometheus: StudyMetrics,
        search: TuneSearch,
    ) -> None:
        self._by_key = dict(by_key)
        self._of_trials: dict[str, TrialTask] = {}
        self._prometheus = prometheus
        self._search = search
        self._watcher = watcher
        self._scratch = scratch
        self._begun: set[str] = set()
        self._interruptions: dict[str, Counter[FailureKind]] = {}
        self._silent_since: dict[str, tuple[int | None, float]] = {}
        self._hung: set[str] = set()
        self._looked_at_s = 0.0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a callback that does nothing: Tune saves callbacks to restore them, but the ledger does that."""
        return tune.Callback, ()

    def _task(self, trial: Any) -> TrialTask:
        if trial.trial_id not in self._of_trials:
            task = TrialTask.of_config(trial.config)
            # A race has a Tune trial for each round of a trial.
            self._of_trials[trial.trial_id] = self._by_key[task.spec.key] = task
        return self._of_trials[trial.trial_id]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        if task.spec.key not in self._begun and stop_file(self._scratch, task.spec).exists():
            return
        self._begun.add(task.spec.key)
        self._watch(task)
        self._watcher.trial_started(task)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if WAITS_FOR_DISK_SPACE in result:
            self._watcher.trial_waits_for_disk(self._task(trial))
        elif "epoch" in result:
            metrics = {name: value for name, value in result.items() if isinstance(value, float)}
            self._watcher.trial_progressed(self._task(trial), metrics)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        self._silent_since.pop(task.spec.key, None)
        stop = self._search.stop_of(task.spec.key)
        if stop is not None:
            record_stop(task, stop)
        if task.spec.key not in self._begun:
            self._watcher.trial_skipped(task)
            return
        failure = self._watcher.trial_ended(task)
        if not task.is_waiting:
            self._prometheus.ended(failure)
        if failure == "program error":
            # The other trials of the cell run the same program on the same data.
            stop_file(self._scratch, task.spec).touch()
            self._search.close((task.spec.target, task.spec.method))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record why a trial's process ended; the next process reads it and decides what to do."""
        task, error = self._task(trial), last_error(trial)
        key, heartbeat = task.spec.key, Heartbeat(task.spool_path)
        kind: FailureKind = "process lost" if error is None else kind_of_error(error)
        message = str(error)
        if key in self._hung:
            self._hung.remove(key)
            kind, message = "hung", f"no step in {task.max_silence_s:.0f} s. {heartbeat.stack()}"
        heartbeat.remove()
        spool = DriverSpool(task.spool_path)
        write_once_disk_has_space(
            lambda: spool.write_interruption(kind, message[-MAX_MESSAGE_LENGTH:]),
            lambda: self._watcher.trial_waits_for_disk(task),
        )
        self._prometheus.failed(kind)
        met = self._interruptions.setdefault(key, Counter())
        met[kind] += 1
        # After one program error the next process, if it can start, records the end.
        if met["program error"] > 1 or met.total() - met["node lost"] >= MAX_STARTS:
            trial.max_failures = 0
        self._watch(task)
        self._watcher.trial_interrupted(task, kind, message)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._silent_since.pop(self._task(trial).spec.key, None)
        self._prometheus.ended("process lost")
        self._watcher.trial_lost(self._task(trial), _end_of_error_file(trial))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Report the trials that ran when the training was over: Tune has no event for their ends."""
        if not self._watcher.is_over():
            return
        for trial in trials:
            task = self._task(trial)
            if self._silent_since.pop(task.spec.key, None) is not None:
                self._watcher.trial_ended(task)

    def _watch(self, task: TrialTask) -> None:
        self._silent_since[task.spec.key] = (Heartbeat(task.spool_path).seen_at(), time.monotonic())

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """End the processes of trials that hang, and export the metrics of the study."""
        if time.monotonic() - self._looked_at_s < LOOK_INTERVAL_S:
            return
        self._looked_at_s = time.monotonic()
        running = [trial for trial in trials if trial.status == "RUNNING"]
        self._prometheus.running(len(running))
        for spools in {task.spool_path.parent for task in self._by_key.values()}:  # none before the first is proposed
            self._prometheus.spool_depth(len(list(spools.glob("*.jsonl"))))
        for trial in running:
            task = self._task(trial)
            actor = trial.temporary_state.ray_actor
            if task.spec.key in self._silent_since and self._is_silent(task) and actor is not None:
                self._hung.add(task.spec.key)
                del self._silent_since[task.spec.key]
                ray.kill(actor)

    def _is_silent(self, task: TrialTask) -> bool:
        seen, since = self._silent_since[task.spec.key]
        now = Heartbeat(task.spool_path).seen_at()
        if now != seen:
            self._silent_since[task.spec.key] = (now, time.monotonic())
            return False
        allowed_s = max(task.max_silence_s, START_TIME_S) if seen is None else task.max_silence_s
        return time.monotonic() - since > allowed_s
