"""A step that does not fit into memory is computed in parts, their gradients added up."""

from __future__ import annotations

import math

import torch

from pretrieve.execution.trial_task import TrialTask

NO_MEMORY = ("CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory")
"""What torch says where it has no exception of its own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory did not suffice, a device's or the machine's.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes do not fit"))
    (True, False)
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def with_smaller_parts(task: TrialTask) -> TrialTask | None:
    """Halve the parts in which a step is computed, or more where half does not divide the batch.

    Returns:
      The task with more parts; None where a part would hold fewer than two images, of which batch norm needs as many.
    """
    spec = task.spec
    batches = [spec.training.batch_size // task.num_workers]
    if task.source:
        batches.append((spec.training.source_batch_size or spec.training.batch_size) // task.num_workers)
    shared = math.gcd(*batches)
    larger = [n for n in range(2 * spec.num_parts, shared + 1) if shared % n == 0 and min(batches) // n >= 2]
    return task.model_copy(update={"spec": spec.model_copy(update={"num_parts": larger[0]})}) if larger else None
