"""One trial on several workers: Ray Train starts them, and each trains its part of every batch."""

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
    task: TrialTask, *, resources: Mapping[str, float], scratch: Path, study: str, callbacks: list[Any] | None = None
) -> Outcome:
    """Run a trial on `task.num_workers` workers and wait for its end; see `run_trial`.

    When the process of a worker is lost, Ray Train's exception passes through, so that the scheduler starts the trial
    again from its checkpoint.

    Args:
      task: the trial.
      resources: of each worker, by Ray's names.
      scratch: folder for Ray Train's own state.
      study: name under which the first worker exports the trial's metrics.
      callbacks: Ray Train calls them with each report of the workers.
    """
    spool = Spool(task.spool_path)
    if spool.outcome in RESULTS:
        return spool.outcome
    while True:
        error = _fit(task, resources, scratch, study, callbacks or [])
        # By type: Ray Train's message holds only the last part of each worker's error, and torch's message is long.
        no_memory = error is not None and any(is_out_of_memory(each) for each in error.worker_failures.values())
        smaller = with_smaller_parts(task) if no_memory else None
        if smaller is None:
            break
        task = smaller
    ended = Spool(task.spool_path)
    if ended.outcome is None or ended.num_ends == spool.num_ends:  # the end in the spool is an earlier attempt's
        message = str(error or "its workers ended without a word")
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
