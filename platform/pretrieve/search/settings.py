"""The settings of the search: a strategy, and the strategy's own settings."""

from __future__ import annotations

import inspect
from typing import Any, cast

from pydantic import ConfigDict, ValidationError, field_validator, model_validator

from pretrieve.components import STRATEGIES
from pretrieve.errors import ComponentError, nearest_word
from pretrieve.search.strategies import SearchStrategy
from pretrieve.settings_model import FieldFaultsError, SettingsModel


class SearchSettings(SettingsModel):
    """How the hyperparameters of a cell are searched; a bare word is short for `strategy: word`.

    The other fields are the strategy's own settings, the arguments of its constructor.

    Attributes:
      strategy: `grid` trains every point to its end, as the paper does; any other word of the family of strategies; a
        strategy, or a scheduler or searcher of Ray Tune, as `my_module:my_strategy`.
    """

    model_config = ConfigDict(extra="allow")

    strategy: str = "grid"

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"strategy": value} if isinstance(value, str) else value

    @field_validator("strategy")
    @classmethod
    def _is_known(cls, word: str) -> str:
        STRATEGIES.find_for_study(word)
        return word

    @model_validator(mode="after")
    def _is_built(self) -> SearchSettings:
        if faults := self._unread():
            raise FieldFaultsError(faults)
        try:
            _ = self.member
        except ComponentError as error:
            raise _by_field(error) from error
        return self

    @property
    def _own(self) -> dict[str, Any]:
        return self.model_extra or {}

    @property
    def member(self) -> SearchStrategy:
        """The strategy, built from its settings."""
        return cast("SearchStrategy", STRATEGIES.build(self.strategy, self._own))

    @property
    def may_stop(self) -> bool:
        """Whether trials may be stopped before their last epoch."""
        return self.member.may_stop or self.member.races

    @property
    def races(self) -> bool:
        """Whether trials go fold by fold, and drop out between folds."""
        return self.member.races

    @property
    def proposes(self) -> bool:
        """Whether points are proposed one after the other, so that there is no list of all points."""
        return self.member.proposes

    @property
    def num_trials(self) -> int:
        """How many points are proposed in each cell, if they are."""
        return self.member.num_trials

    def faults_beside(self, *, num_epochs: int, num_workers: int) -> list[str]:
        """List the conflicts with the rest of a study, each as "field: rule, value, remedy"."""
        faults = self.member.faults_beside(num_epochs)
        if self.member.may_stop and num_workers > 1:
            # Several workers do not wait for a decision at the end of an epoch.
            faults.append(
                f"strategy: must be 'grid' where compute.workers_per_trial is {num_workers}, as a trial on several "
                f"workers cannot be stopped early, but is {self.strategy!r}; use one worker a trial, or 'grid'"
            )
        return faults

    def _unread(self) -> list[str]:
        """List the fields that the strategy does not read, with those that do."""
        readers = {word: _settings_of(member) or () for word, member in STRATEGIES.built_in().items()}
        read = _settings_of(STRATEGIES.find(self.strategy))
        if read is None:
            return []
        faults = []
        for name in [name for name in self._own if name not in read]:
            others = [word for word, own in readers.items() if name in own]
            if others:
                hint = f"{name} is read by {' and '.join(others)}; leave it out"
            else:
                known = f"it reads {', '.join(read)}" if read else "it has none"
                hint = f"it is not; {known}.{nearest_word(name, read)}"
            faults.append(f"{name}: must be a setting of the strategy {self.strategy!r}, but {hint}")
        return faults


def _settings_of(member: Any) -> list[str] | None:
    """Return the names of a strategy's settings; None for one that takes any."""
    parameters = inspect.signature(member).parameters.values()
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return None if takes_any else [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]


def _by_field(error: ComponentError) -> ValueError:
    """Return the faults of values by their fields, if the strategy's constructor was checked by pydantic."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ValidationError):
        cause = cause.__cause__
    if cause is None:
        return ValueError(str(error))
    return FieldFaultsError(
        f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg'].replace('Input should be', 'must be')}"
        for fault in cause.errors()
    )
