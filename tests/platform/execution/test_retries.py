from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError

from pretrieve.execution.retries import kind_of_error, next_attempt
from pretrieve.execution.trial_task import TrialTask
from pretrieve.tracking.spool import FailureKind, Interruption

(RAY_TRAIN_ERROR,) = TrainingFailedError.__bases__
(WorkerHealthCheckFailedError,) = (
    each for each in RAY_TRAIN_ERROR.__subclasses__() if each.__name__ == "WorkerHealthCheckFailedError"
)

COMMON_CAUSES = (
    "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force is called, or (3) the worker "
    "is crashed unexpectedly due to SIGSEGV or other unexpected errors."
)
"""What Ray says of a process that is gone, where it does not know why."""


def times(kind: FailureKind, count: int) -> list[Interruption]:
    return [Interruption(kind, "", number) for number in range(count)]


def of_workers(*errors: Exception) -> WorkerGroupError:
    return WorkerGroupError("the workers failed", dict(enumerate(errors)))


def raised_in_a_task(error: Exception) -> RayTaskError:
    return RayTaskError("train", "its traceback", error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (OutOfMemoryError("killed"), "out of memory"),
        (MemoryError(), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (OSError(errno.ENOENT, "No such file"), "program error"),
        (NodeDiedError("gone"), "node lost"),
        (RayActorError(preempted=True), "node lost"),
        (RayActorError(error_msg="The actor died because its node has died."), "node lost"),
        (RayActorError(error_msg="killed as the node was running low on memory"), "out of memory"),
        (ActorDiedError(), "process lost"),
        (RayActorError(error_msg=f"The actor died unexpectedly. {COMMON_CAUSES}"), "process lost"),
        (ValueError("of the user's code"), "program error"),
        (raised_in_a_task(ValueError("of the user's code")), "program error"),
        (raised_in_a_task(ActorDiedError()), "process lost"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out of memory"),
        (of_workers(ValueError("of the user's code")), "program error"),
        (of_workers(WorkerHealthCheckFailedError("gone", ActorDiedError()), RuntimeError("gloo")), "process lost"),
        (of_workers(RuntimeError("gloo"), WorkerHealthCheckFailedError("", NodeDiedError("gone"))), "node lost"),
        (ControllerError(ActorDiedError()), "process lost"),
        (raised_in_a_task(of_workers(WorkerHealthCheckFailedError("", NodeDiedError("gone")))), "node lost"),
    ],
)
def test_each_error_has_its_kind(error: BaseException, kind: FailureKind) -> None:
    assert kind_of_error(error) == kind


def test_a_lost_node_is_never_the_end_and_others_have_their_limits(make_task: Callable[..., TrialTask]) -> None:
    task = make_task()
    assert next_attempt(task, times("node lost", 1_000)) == task
    assert next_attempt(task, times("process lost", 5)) == task
    assert next_attempt(task, times("process lost", 6)) == "process lost"
    assert next_attempt(task, times("hung", 2) + times("process lost", 5)) == task
    assert next_attempt(task, times("hung", 3)) == "hung"
    assert next_attempt(task, times("program error", 1)) == "program error"


def test_a_trial_killed_for_memory_is_tried_smaller_until_it_cannot_be(make_task: Callable[..., TrialTask]) -> None:
    task = make_task()
    parts = []
    for count in range(4):
        attempt = next_attempt(task, times("out of memory", count))
        parts.append(attempt.spec.num_parts if isinstance(attempt, TrialTask) else attempt)
    assert parts == [1, 2, 4, "out of memory"]
