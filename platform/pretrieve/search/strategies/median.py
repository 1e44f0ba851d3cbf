"""The median stopping rule: a trial ends if its best score is below the median of the others' running means."""

from __future__ import annotations

import math

from ray.tune.schedulers import MedianStoppingRule

from pretrieve.metrics import EPOCH, VAL_SCORE
from pretrieve.search.strategies.settings import SearchSettings


def median(settings: SearchSettings, num_epochs: int) -> MedianStoppingRule:
    """Make the scheduler of one cell: no trial stops before `grace_epochs`, or while under `min_trials` came as far."""
    return MedianStoppingRule(
        time_attr=EPOCH,
        metric=VAL_SCORE,
        mode="max",
        grace_period=settings.grace(num_epochs),
        min_samples_required=settings.min_trials,
        # Otherwise it pauses trials until there are enough others, and each would start a new process.
        min_time_slice=math.inf,  # type: ignore[arg-type]  # annotated as int; a time since never exceeds every int
    )
