"""A step that does not fit into memory is computed in parts, their gradients added up."""

from __future__ import annotations

import math

from pretrieve.training.trial_spec import TrialTask


def with_smaller_parts(task: TrialTask) -> TrialTask | None:
    """Halve the parts in which a step is computed, or more where half does not divide the batch.

    Returns:
      The task with more parts; None where a part would hold fewer than two images, of which batch norm needs as many.
    """
    batches = [task.training.batch_size // task.num_workers]
    if task.source:
        batches.append((task.training.source_batch_size or task.training.batch_size) // task.num_workers)
    shared = math.gcd(*batches)
    larger = [n for n in range(2 * task.num_parts, shared + 1) if shared % n == 0 and min(batches) // n >= 2]
    return task.model_copy(update={"num_parts": larger[0]}) if larger else None
