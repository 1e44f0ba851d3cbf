"""Scheduling trials on the connected cluster: one Ray Tune run over all cells and their grids."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution.tune_controller import TuneController

from pretrieve.execution.compute import TrialResources
from pretrieve.execution.prometheus_metrics import StudyMetrics, exported
from pretrieve.execution.retries import next_attempt
from pretrieve.execution.trial import run_distributed_trial, run_trial
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import EndOfAll, TrialWatcher, TuneEvents, stop_file
from pretrieve.interruption import received
from pretrieve.search.tune_config import TRIAL, cell_and_key
from pretrieve.search.tune_search import TuneSearch
from pretrieve.tracking.spool import DriverSpool, Spool


def run_tasks(
    tasks: Sequence[TrialTask],
    resources: TrialResources,
    scratch: Path,
    watcher: TrialWatcher,
    search: TuneSearch | None = None,
    *,
    study: str = "study",
) -> None:
    """Run all tasks in the given order, as many at a time as the cluster can run.

    The folder `scratch` is for Tune's own state and is removed at the end: the ledger decides which tasks are done. A
    search stops trials early, or proposes them in place of `tasks`; None runs each task to its end. `study` is the
    name under which metrics are exported to Prometheus.
    """
    search = search or TuneSearch()
    if not tasks and search.searcher is None:
        return
    _quiet_tune()
    shutil.rmtree(scratch, ignore_errors=True)
    # A new name for each call: processes of the call before may still write into their folder.
    own = scratch.resolve() / f"run-{time.time_ns()}"
    own.mkdir(parents=True)
    by_key = {task.spec.key: task for task in tasks}
    param_space: dict[str, Any] = {"worker": resources.worker(), "scratch": str(own), "study": study}
    param_space["since_ms"] = time.time_ns() // 1_000_000
    if search.searcher is None:
        param_space[TRIAL] = tune.grid_search([task.model_dump_json() for task in tasks])
    tuner = tune.Tuner(
        tune.with_resources(_trainable, tune.PlacementGroupFactory([resources.bundle()])),
        param_space=param_space,
        tune_config=tune.TuneConfig(
            scheduler=search.scheduler,
            search_alg=search.searcher,
            num_samples=search.searcher.max_num_trials if search.searcher else 1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: cell_and_key(trial.config)[1],
            max_concurrent_trials=resources.num_concurrent if resources.num_workers > 1 else None,
        ),
        run_config=tune.RunConfig(
            name=own.name,
            storage_path=str(own.parent),
            verbose=0,
            stop=EndOfAll(watcher),
            # No limit here: `next_attempt` decides for each kind of failure whether the trial starts again.
            failure_config=tune.FailureConfig(max_failures=-1),
            callbacks=[TuneEvents(by_key, watcher, own, StudyMetrics(study), search)],
        ),
    )
    try:
        tuner.fit()
    except BaseException as error:
        if not isinstance(error, Exception) and received() is None:  # else Tune does it, or the process is about to end
            _end_processes(error)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _end_processes(error: BaseException) -> None:
    """End Tune's processes, which it leaves running after, say, an interrupted cell of a notebook.

    They would hold their CPUs, and the next run of this process would wait for them for ever. Tune hands its
    controller to no one, so that it is looked for among the variables of the functions that the error ended.
    """
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    for value in chain.from_iterable(frame.f_locals.values() for frame in frames):
        if isinstance(value, TuneController):
            value.cleanup()
            return


def _trainable(config: dict[str, Any]) -> None:
    planned, scratch = TrialTask.of_config(config), Path(config["scratch"])
    planned = planned.model_copy(update={"num_threads": int(config["worker"]["CPU"])})
    if stop_file(scratch, planned.spec).exists():
        return
    interruptions = DriverSpool(planned.spool_path).interruptions(since_ms=config["since_ms"])
    task = next_attempt(planned, interruptions)
    if not isinstance(task, TrialTask):
        last = [each for each in interruptions if each.kind == task]
        times = "once" if len(last) == 1 else f"{len(last)} times"
        Spool(planned.spool_path).write_end("failed", {}, f"{task}, {times}: {last[-1].message}", failure=task)
    elif task.num_workers == 1:
        with exported(config["study"], task.spec, tune.report) as report:
            run_trial(task, report=report)
    else:
        from ray.tune.integration.ray_train import TuneReportCallback

        run_distributed_trial(
            task,
            resources=config["worker"],
            scratch=scratch / "workers",
            study=config["study"],
            callbacks=[TuneReportCallback()],
        )


def _quiet_tune() -> None:
    """Keep Tune from writing logs and tables: the ledger and the live view write better ones."""
    # On ctrl-c Tune would end the search in good order, and the study would refit the best of half a grid.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # A trial that waits for disk space reports that alone, without a score.
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "1")
