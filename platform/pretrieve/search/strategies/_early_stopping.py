"""The base of the strategies that stop no trial before some epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pretrieve.search.strategies._base import SearchStrategy
from pretrieve.settings_model import SettingsModel


@dataclass(config=SettingsModel.model_config)
class EarlyStopping(SearchStrategy):
    """Base of strategies that stop trials.

    Attributes:
      grace_epochs: no trial is stopped before this epoch, >= 1; None: a tenth of a trial's epochs.
    """

    may_stop = True

    grace_epochs: Annotated[int, Field(ge=1)] | None = None

    def grace(self, num_epochs: int) -> int:
        """Return the first epoch at which a trial may be stopped.

        >>> EarlyStopping().grace(100), EarlyStopping().grace(4)
        (10, 1)
        """
        return self.grace_epochs or max(1, num_epochs // 10)

    def faults_beside(self, num_epochs: int) -> list[str]:
        if self.grace_epochs is None or self.grace_epochs <= num_epochs:
            return []
        return [
            f"grace_epochs: must be at most the epochs of a trial, {num_epochs}, but is {self.grace_epochs}; lower it"
        ]
