"""The median stopping rule: a trial ends whose best score is below the median of the others' running means."""

from __future__ import annotations

import math

from ray.tune.schedulers import MedianStoppingRule

from pretrieve.metrics import EPOCH, VAL_SCORE
from pretrieve.search.strategies.settings import SearchSettings


def median(settings: SearchSettings, num_epochs: int) -> MedianStoppingRule:
    """Make the scheduler of one cell.

    Args:
      settings: no trial is stopped before grace_epochs, nor while fewer than min_trials others came as far.
      num_epochs: of a trial that is not stopped.
    """
    return MedianStoppingRule(
        time_attr=EPOCH,
        metric=VAL_SCORE,
        mode="max",
        grace_period=settings.grace(num_epochs),
        min_samples_required=settings.min_trials,
        # It would pause trials until there are enough others, and each would start a process anew.
        min_time_slice=math.inf,  # type: ignore[arg-type]  # annotated as int; a time since never exceeds every int
    )
