"""ASHA: only the better part of the trials goes on from a rung to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pretrieve.metric_names import EPOCH, VAL_SCORE
from pretrieve.search.strategies._early_stopping import EarlyStopping
from pretrieve.settings_model import SettingsModel

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


@dataclass(config=SettingsModel.model_config)
class AshaStrategy(EarlyStopping):
    """Begin every point; at each rung, only the better part of the trials of the cell that reached it goes on.

    Attributes:
      grace_epochs: the first rung, >= 1; None: a tenth of a trial's epochs.
      reduction_factor: about one in this many trials goes on from a rung to the next, which is this many times as many
        epochs away; >= 2.
    """

    name = "asha"

    reduction_factor: Annotated[float, Field(ge=2)] = 3.0

    def scheduler(self, num_epochs: int) -> TrialScheduler:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        return AsyncHyperBandScheduler(
            time_attr=EPOCH,
            metric=VAL_SCORE,
            mode="max",
            max_t=num_epochs,
            grace_period=self.grace(num_epochs),
            reduction_factor=self.reduction_factor,
            stop_last_trials=False,
        )
