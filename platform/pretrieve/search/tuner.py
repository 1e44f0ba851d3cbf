"""Scheduling trials on the connected cluster: one Ray Tune run over all cells and their grids."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import ray
from pydantic import Field
from ray import tune

from pretrieve.errors import ResourceError
from pretrieve.search.trial import run_trial
from pretrieve.settings_model import SettingsModel
from pretrieve.training.trial_spec import TrialTask

MAX_LOST_WORKERS = 5
"""How often a trial whose process was killed is started again; errors of its own code are recorded, not repeated."""


class ComputeSettings(SettingsModel):
    """What a trial may use.

    Attributes:
      cpus_per_trial: CPU cores, also torch's threads on a machine without a GPU.
      gpus_per_trial: share of a GPU; None: a quarter where the cluster has GPUs, else none.
    """

    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None


@dataclass(frozen=True)
class TrialResources:
    """What each trial gets on the cluster at hand."""

    cpus: int
    gpus: float

    @classmethod
    def on_cluster(cls, settings: ComputeSettings, cluster: dict[str, float]) -> TrialResources:
        """Decide the share of a trial, and refuse what the cluster can never give.

        Args:
          settings: what the study asks for.
          cluster: `ray.cluster_resources()`.

        Raises:
          ResourceError: the cluster has fewer CPUs or GPUs than one trial wants; Ray would wait for them without end.
        """
        num_cpus, num_gpus = cluster.get("CPU", 0), cluster.get("GPU", 0)
        gpus = settings.gpus_per_trial
        if gpus is None:
            gpus = 0.25 if num_gpus else 0.0
        if settings.cpus_per_trial > num_cpus:
            raise ResourceError(
                f"compute.cpus_per_trial must be at most the cluster's {num_cpus:g} CPUs, "
                f"but is {settings.cpus_per_trial}"
            )
        if gpus > num_gpus:
            raise ResourceError(
                f"compute.gpus_per_trial must be at most the cluster's {num_gpus:g} GPUs, but is {gpus:g}"
            )
        return cls(settings.cpus_per_trial, gpus)

    def bundle(self) -> dict[str, float]:
        """Return the request of one trial, as Ray counts."""
        return {"CPU": float(self.cpus), **({"GPU": self.gpus} if self.gpus else {})}


class TrialWatcher(Protocol):
    """Who is told what happens to the trials, in the driver's process."""

    def trial_started(self, task: TrialTask) -> None:
        """Hear that a worker begins the trial, or begins it again after its process was lost."""

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        """Hear that an epoch is done."""

    def trial_ended(self, task: TrialTask) -> None:
        """Hear that the trial returned; its outcome is in its spool."""

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        """Hear that the trial's process died too often; nothing of its end was recorded."""


def run_tasks(tasks: Sequence[TrialTask], resources: TrialResources, scratch: Path, watcher: TrialWatcher) -> None:
    """Run all tasks, as many at a time as the cluster holds, in the order given.

    Args:
      tasks: trials and refits whose keys are not finished.
      resources: what each gets.
      scratch: folder for Tune's own state, removed at the end: the ledger is what decides what is done.
      watcher: told of starts, epochs and ends.
    """
    if not tasks:
        return
    _quiet_tune()
    by_key = {task.spec.key: task for task in tasks}
    trainable = tune.with_resources(_trainable, tune.PlacementGroupFactory([resources.bundle()]))
    tuner = tune.Tuner(
        trainable,
        param_space={"task": tune.grid_search([task.model_dump(mode="json") for task in tasks])},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=_folder_name),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent.resolve()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_LOST_WORKERS),
            callbacks=[_Forward(by_key, watcher)],
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _trainable(config: dict[str, Any]) -> None:
    run_trial(TrialTask.model_validate(config["task"]), report=tune.report)


def _folder_name(trial: Any) -> str:
    return str(trial.config["task"]["spec"]["key"])


class _Forward(tune.Callback):
    """Passes Tune's events on to the watcher."""

    def __init__(self, by_key: dict[str, TrialTask], watcher: TrialWatcher) -> None:
        self._by_key = by_key
        self._watcher = watcher

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a callback that does nothing: Tune saves its callbacks for a restore, which the ledger replaces."""
        return tune.Callback, ()

    def _task(self, trial: Any) -> TrialTask:
        return self._by_key[trial.config["task"]["spec"]["key"]]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._watcher.trial_started(self._task(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "epoch" in result:
            metrics = {name: value for name, value in result.items() if isinstance(value, float)}
            self._watcher.trial_progressed(self._task(trial), metrics)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._watcher.trial_ended(self._task(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error_file = getattr(trial, "error_file", None)
        reason = Path(error_file).read_text(encoding="utf-8")[-2_000:] if error_file else "no reason given"
        self._watcher.trial_lost(self._task(trial), reason)


def _quiet_tune() -> None:
    """Keep Tune from writing logs and tables that the ledger and the live view write better.

    And from taking ctrl-c for itself: it would end the search in good order, and the study would go on to refit the
    best of half a grid.
    """
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "1")


def cluster_resources() -> dict[str, float]:
    """Return what the connected cluster has, by Ray's names."""
    return dict(ray.cluster_resources())
