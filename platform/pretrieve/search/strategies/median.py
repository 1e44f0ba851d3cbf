"""The median rule: a trial ends whose best score is below the median of the others' running means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pretrieve.metric_names import EPOCH, VAL_SCORE
from pretrieve.search.strategies._early_stopping import EarlyStopping
from pretrieve.settings_model import SettingsModel

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


@dataclass(config=SettingsModel.model_config)
class MedianStrategy(EarlyStopping):
    """Begin every point; a trial ends if its best score is below the median of the others' running means.

    Attributes:
      grace_epochs: no trial is stopped before this epoch, >= 1; None: a tenth of a trial's epochs.
      min_trials: no trial is stopped while fewer others than this came as far; >= 2.
    """

    name = "median"

    min_trials: Annotated[int, Field(ge=2)] = 3

    def scheduler(self, num_epochs: int) -> TrialScheduler:
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(
            time_attr=EPOCH,
            metric=VAL_SCORE,
            mode="max",
            grace_period=self.grace(num_epochs),
            min_samples_required=self.min_trials,
            # Otherwise it pauses trials until there are enough others, and each would start a new process.
            min_time_slice=math.inf,  # type: ignore[arg-type]  # annotated as int; a time since never exceeds every int
        )
