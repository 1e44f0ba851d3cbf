"""The settings of a search strategy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pretrieve.settings_model import SettingsModel

StrategyName = Literal["grid", "asha", "median", "optuna"]

_READ_BY: dict[str, tuple[StrategyName, ...]] = {
    "grace_epochs": ("asha", "median", "optuna"),
    "reduction_factor": ("asha", "optuna"),
    "min_trials": ("median",),
    "num_trials": ("optuna",),
}


class SearchSettings(SettingsModel):
    """How the hyperparameters of a cell are searched; a bare word is short for `strategy: word`.

    Attributes:
      strategy: `grid` trains every point to its end, as the paper does. `asha` and `median` begin every point and stop
        the trials whose validation score falls behind the others of their cell. `optuna` lets a model of the scores
        (TPE) propose points within the grid's bounds, and stops trials as `asha` does.
      grace_epochs: no trial is stopped before this epoch; None: a tenth of `training.epochs`.
      reduction_factor: about one in this many trials goes on from a rung to the next, which is this many times as many
        epochs away.
      min_trials: smallest number of trials for a median.
      num_trials: points that `optuna` tries in each cell.
    """

    strategy: StrategyName = "grid"
    grace_epochs: Annotated[int, Field(ge=1)] | None = None
    reduction_factor: Annotated[float, Field(ge=2)] = 3.0
    min_trials: Annotated[int, Field(ge=2)] = 3
    num_trials: Annotated[int, Field(ge=1)] = 16

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"strategy": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_no_unread_field(self) -> SearchSettings:
        unread = [name for name in _READ_BY if name in self.model_fields_set and self.strategy not in _READ_BY[name]]
        if unread:
            readers = "; ".join(f"{name} is read by {' and '.join(_READ_BY[name])}" for name in unread)
            raise ValueError(
                f"strategy {self.strategy!r} must have only fields that it reads, but {readers}; leave it out"
            )
        return self

    @property
    def may_stop(self) -> bool:
        """Whether trials may be stopped before their last epoch."""
        return self.strategy != "grid"

    @property
    def proposes(self) -> bool:
        """Whether points are proposed one after the other, so that there is no list of all points."""
        return self.strategy == "optuna"

    def faults_beside(self, *, num_epochs: int, num_workers: int) -> list[str]:
        """List the conflicts with the rest of a study, each as "field: rule, value, remedy"."""
        faults = []
        if self.grace_epochs is not None and self.grace_epochs > num_epochs:
            faults.append(
                f"grace_epochs: must be at most training.epochs, {num_epochs}, but is {self.grace_epochs}; lower it"
            )
        if self.may_stop and num_workers > 1:
            # Several workers do not wait for a decision at the end of an epoch.
            faults.append(
                f"strategy: must be 'grid' where compute.workers_per_trial is {num_workers}, as a trial on several "
                f"workers cannot be stopped early, but is {self.strategy!r}; use one worker a trial, or 'grid'"
            )
        return faults

    def grace(self, num_epochs: int) -> int:
        """Return the first epoch at which a trial may be stopped.

        >>> SearchSettings(strategy="asha").grace(100), SearchSettings(strategy="asha").grace(4)
        (10, 1)
        """
        return self.grace_epochs or max(1, num_epochs // 10)
