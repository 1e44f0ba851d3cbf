"""When a trial starts again after its process ended too early: a policy for each kind of failure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from pretrieve.artifacts.disk_space import is_disk_full
from pretrieve.execution.trial_task import TrialTask
from pretrieve.tracking.spool import FailureKind, Interruption

MAX_RETRIES: dict[FailureKind, int | None] = {
    # A lost node is not the trial's fault, and is common on machines that can be taken back at any time.
    "node lost": None,
    "process lost": 5,
    # Each new attempt splits a step into smaller parts, as far as possible.
    "out of memory": 5,
    "hung": 2,
    "disk full": 2,
    # The same program on the same data ends in the same error.
    "program error": 0,
}
"""How often a trial starts again after each kind of failure, within one run of the study; None: without limit."""

NO_MEMORY = ("CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory")
"""Words by which out-of-memory errors of torch are known where torch raises a plain RuntimeError."""


def kind_of_error(error: BaseException) -> FailureKind:
    """Return the kind of failure of an error that a trial's process, or Ray about that process, raised."""
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
    """Return the kind of failure of Ray Train's error about the workers of a trial; None for any other error."""
    from ray.train import ControllerError, TrainingFailedError, WorkerGroupError

    cause = getattr(error, "health_check_failure", None)
    if is_of_ray_train(error) and isinstance(cause, BaseException):
        return kind_of_error(cause)
    if isinstance(error, ControllerError):
        return kind_of_error(error.controller_failure)
    if isinstance(error, WorkerGroupError):
        # When one worker is lost, the others fail when they next average gradients: their errors say nothing.
        failures = list(error.worker_failures.values())
        lost = [failure for failure in failures if is_of_ray_train(failure)]
        kinds = [kind_of_error(failure) for failure in lost or failures]
        return "node lost" if "node lost" in kinds else kinds[0] if kinds else "process lost"
    if isinstance(error, TrainingFailedError):  # the node was announced to be taken back
        return "node lost"
    return "process lost" if is_of_ray_train(error) else None


def is_of_ray_train(error: BaseException) -> bool:
    """Return whether the error is Ray Train's own: a worker's process is lost or does not answer."""
    # By name, because the base class of these errors is in a private module.
    return any(base.__name__ == "RayTrainError" for base in type(error).__mro__)


def _kind_of_death(message: str) -> FailureKind:
    """Read from Ray's message why a process was lost; Ray gives no other sign of the cause."""
    # If Ray does not know the cause, its message lists common ones, such as the kernel's out-of-memory killer.
    words = message.lower().partition("common causes")[0]
    if "out of memory" in words or "running low on memory" in words or "oom" in words.split():
        return "out of memory"
    if "node" in words and ("node has died" in words or "node was terminated" in words or "node died" in words):
        return "node lost"
    return "process lost"


def next_attempt(task: TrialTask, interruptions: Sequence[Interruption]) -> TrialTask | FailureKind:
    """Decide how a trial goes on after its interruptions in this run of the study, oldest first.

    Returns the task to run, in smaller parts after an out-of-memory error; or the kind of failure that happened too
    often.
    """
    counts = Counter(interruption.kind for interruption in interruptions)
    for kind, count in counts.items():
        most = MAX_RETRIES[kind]
        if most is not None and count > most:
            return kind
    for _ in range(counts["out of memory"]):
        if (smaller := with_smaller_parts(task)) is None:
            return "out of memory"
        task = smaller
    return task


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device or of the machine was too small.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes do not fit"))
    (True, False)
    """
    is_torchs = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return is_torchs or isinstance(error, (torch.OutOfMemoryError, MemoryError))


def with_smaller_parts(task: TrialTask) -> TrialTask | None:
    """Compute a step in at least twice as many parts; the new number of parts divides the batch.

    Returns None where a part would hold fewer than two images, the fewest that batch norm accepts.
    """
    spec = task.spec
    batches = [spec.training.batch_size // task.num_workers]
    if task.source:
        batches.append((spec.training.source_batch_size or spec.training.batch_size) // task.num_workers)
    shared = math.gcd(*batches)
    larger = [n for n in range(2 * spec.num_parts, shared + 1) if shared % n == 0 and min(batches) // n >= 2]
    return task.model_copy(update={"spec": spec.model_copy(update={"num_parts": larger[0]})}) if larger else None
