"""One trial on several workers: Ray Train starts them, each trains its part of every batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrieve.execution.prometheus_metrics import exported
from pretrieve.execution.retries import is_of_ray_train, is_out_of_memory, kind_of_error, with_smaller_parts
from pretrieve.execution.trial import TrialProcess
from pretrieve.execution.trial_task import TrialTask
from pretrieve.tracking.spool import RESULTS, Outcome, Spool
from pretrieve.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from ray.train import WorkerGroupError


def run_distributed_trial(
    task: TrialTask,
    *,
    resources: Mapping[str, float],
    scratch: Path,
    study: str,
    callbacks: list[Any] | None = None,
) -> Outcome:
    """Run a trial on `task.num_workers` workers and wait for its end; see `run_trial`.

    A worker whose process is lost ends the attempt with an exception, so that whoever scheduled the trial starts it
    again from its checkpoint.

    Args:
      task: what to run.
      resources: of each worker, by Ray's names.
      scratch: folder for Ray Train's own state.
      study: name under which the first worker exports the trial's figures.
      callbacks: of Ray Train, which hear what the workers report.
    """
    spool = Spool(task.spool_path)
    if spool.outcome in RESULTS:
        return spool.outcome
    while True:
        error = _fit(task, resources, scratch, study, callbacks or [])
        smaller = with_smaller_parts(task) if error is not None and _is_out_of_memory(error) else None
        if smaller is None:
            break
        task = smaller
    ended = Spool(task.spool_path)
    if ended.outcome is None or ended.num_ends == spool.num_ends:  # the end that is there is an earlier attempt's
        message = str(error or "its workers ended without a word")
        ended.write_end("failed", {}, message, failure=kind_of_error(error) if error else "process lost")
        return "failed"
    return ended.outcome


def _is_out_of_memory(error: WorkerGroupError) -> bool:
    # By type: Ray Train's message holds only the ends of the workers' errors, and torch's is long.
    return any(is_out_of_memory(failure) for failure in error.worker_failures.values())


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
        # What a worker's own code raised comes as it was raised; that its process is gone, Ray Train says itself. The
        # others then fail as well, at the next average of gradients.
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
