"""What becomes of a trial whose process ended before it did: a policy for each kind of failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from pretrieve.full_disk import is_disk_full
from pretrieve.search.smaller_parts import is_out_of_memory, with_smaller_parts
from pretrieve.tracking.spool import FailureKind, Interruption
from pretrieve.training.trial_spec import TrialTask

MAX_RETRIES: dict[FailureKind, int | None] = {
    # A node that goes is no fault of the trial: a study on machines that may be taken back meets it all the time.
    "node lost": None,
    "process lost": 5,
    # Each is tried with smaller parts of a step, as far as they can be made smaller.
    "out of memory": 5,
    "hung": 2,
    "disk full": 2,
    # The same program on the same data ends in the same error.
    "program error": 0,
}
"""How often a trial is started again after each kind of failure, within one run of the study; None: without limit."""


def kind_of_error(error: BaseException) -> FailureKind:
    """Say what kind of failure an error is that a trial's process raised, or that Ray raised of it."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        return kind_of_error(error.cause)
    if isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
        return "out of memory"
    if is_disk_full(error):
        return "disk full"
    if isinstance(error, NodeDiedError):
        return "node lost"
    if isinstance(error, RayActorError):
        return "node lost" if error.preempted else _kind_of_death(str(error))
    if isinstance(error, WorkerCrashedError):
        return "process lost"
    return _kind_of_workers(error) or "program error"


def _kind_of_workers(error: BaseException) -> FailureKind | None:
    """Say what kind of failure Ray Train tells of the workers of one trial; None where the error is none of its."""
    from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
    from ray.train.v2._internal.exceptions import RayTrainError, WorkerHealthCheckFailedError

    if isinstance(error, WorkerHealthCheckFailedError):
        return kind_of_error(error.health_check_failure)
    if isinstance(error, ControllerError):
        return kind_of_error(error.controller_failure)
    if isinstance(error, WorkerGroupError):
        # A worker that is gone takes the others with it, at the next average of gradients: their errors say nothing.
        failures = list(error.worker_failures.values())
        lost = [failure for failure in failures if isinstance(failure, RayTrainError)]
        kinds = [kind_of_error(failure) for failure in lost or failures]
        return next((kind for kind in kinds if kind == "node lost"), kinds[0] if kinds else "process lost")
    if isinstance(error, TrainingFailedError):  # the node was told that it will be taken back
        return "node lost"
    return "process lost" if isinstance(error, RayTrainError) else None


def _kind_of_death(message: str) -> FailureKind:
    """Read why Ray says that a process is gone; it tells it in words alone."""
    # Where it does not know, it lists what is common, the kernel's OOM killer among it.
    words = message.lower().partition("common causes")[0]
    if "out of memory" in words or "running low on memory" in words or "oom" in words.split():
        return "out of memory"
    if "node" in words and ("node has died" in words or "node was terminated" in words or "node died" in words):
        return "node lost"
    return "process lost"


def next_attempt(task: TrialTask, interruptions: Sequence[Interruption]) -> TrialTask | FailureKind:
    """Decide how a trial goes on after its interruptions.

    Args:
      task: as it was planned.
      interruptions: of this run of the study, oldest first.

    Returns:
      The task to run, in smaller parts where memory was short; or the kind of failure that happened too often.
    """
    counts = Counter(interruption.kind for interruption in interruptions)
    for kind, count in counts.items():
        most = MAX_RETRIES[kind]
        if most is not None and count > most:
            return kind
    for _ in range(counts["out of memory"]):
        smaller = with_smaller_parts(task)
        if smaller is None:
            return "out of memory"
        task = smaller
    return task
