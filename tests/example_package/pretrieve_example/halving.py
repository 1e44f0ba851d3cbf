"""A search strategy that stops trials."""

from ray.tune.schedulers import AsyncHyperBandScheduler

from pretrieve.metric_names import EPOCH, VAL_SCORE
from pretrieve.search.strategies import SearchStrategy


class Halving(SearchStrategy):
    """Begin every point, and let the better half of the trials of a cell go on after each doubling of the epochs."""

    name = "halving"
    may_stop = True

    def __init__(self, first: int = 1) -> None:
        self.first = first

    def scheduler(self, num_epochs):
        return AsyncHyperBandScheduler(
            time_attr=EPOCH,
            metric=VAL_SCORE,
            mode="max",
            max_t=num_epochs,
            grace_period=self.first,
            reduction_factor=2,
            stop_last_trials=False,
        )
