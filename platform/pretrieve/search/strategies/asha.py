"""Asynchronous successive halving: at each rung, only the better part of the trials that reached it goes on."""

from __future__ import annotations

from ray.tune.schedulers import AsyncHyperBandScheduler

from pretrieve.metrics import EPOCH, VAL_SCORE
from pretrieve.search.strategies.settings import SearchSettings


def asha(settings: SearchSettings, num_epochs: int) -> AsyncHyperBandScheduler:
    """Make the scheduler of one cell.

    `grace_epochs` is the first rung. `reduction_factor` is the ratio between rungs, and 1 over the share that goes on.
    """
    return AsyncHyperBandScheduler(
        time_attr=EPOCH,
        metric=VAL_SCORE,
        mode="max",
        max_t=num_epochs,
        grace_period=settings.grace(num_epochs),
        reduction_factor=settings.reduction_factor,
        stop_last_trials=False,
    )
