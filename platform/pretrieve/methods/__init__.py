"""The methods of a study, its rows: what is chosen from the source, and how it is trained on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from pretrieve.components import HEAD_STARTS, OBJECTIVES, OPTIMIZERS, SCHEDULES, SELECTORS
from pretrieve.components.hyperparameters import BUILT_IN, TOP_K, Hyperparameter
from pretrieve.errors import UserError, nearest_word
from pretrieve.settings_model import SettingsModel
from pretrieve.training.trial_spec import SourceHead

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Settings = dict[str, Any]


class Method(SettingsModel):
    """One way to fine-tune: a row of a study's table. A bare word, such as `uot`, stands for a row.

    What names a member is a word, `my_module:my_object`, or a name that an installed package declares. Its settings are
    the member's own.

    Attributes:
      name: of the row, in tables and runs.
      selector: what chooses from the source; None: nothing of the source is reused.
      selector_settings: those of `selection` that this row changes, and the selector's own.
      objective: how a step's loss is computed; None: see `training.source_objective`, or `finetune` where nothing is
        reused.
      source_head: `fresh`, or `classifier`: the source's head starts as that of the pre-training, whose classes must be
        those of the source.
      longer: whether a row that reuses nothing sees as many images in its training as one that does, see
        `training.longer`: the control that tells what the reused images give from what a longer training gives.
      head_start, optimizer, schedule: None: that of `training`.
      head_start_settings, optimizer_settings, schedule_settings: those of the member that the row names.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]
    selector: str | None = None
    selector_settings: Settings = Field(default={})
    objective: str | None = None
    head_start: str | None = None
    head_start_settings: Settings = Field(default={})
    source_head: SourceHead = "fresh"
    longer: bool = False
    optimizer: str | None = None
    optimizer_settings: Settings = Field(default={})
    schedule: str | None = None
    schedule_settings: Settings = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        fields = _row_of(value)
        if fields is None:
            words = method_words()
            raise ValueError(
                f"a method must be one of {', '.join(words)}, or a row of its own, such as {{name: mine, selector: "
                f"my_module:my_selector}}, but is {value!r}.{nearest_word(value, words)}"
            )
        return fields

    @field_validator("selector", "objective", "head_start", "optimizer", "schedule")
    @classmethod
    def _is_a_member(cls, word: str | None, info: Any) -> str | None:
        if word is not None:
            try:
                FAMILY_OF[info.field_name].find_for_study(word)
            except UserError as fault:
                raise ValueError(str(fault)) from fault
        return word

    @model_validator(mode="after")
    def _is_whole(self) -> Method:
        row = _row_of(self.name)
        if row is not None and row != self._changed():
            raise ValueError(f"a row's name must be its own, but {self.name!r} is a known row; choose another name")
        for part in ("selector", "head_start", "optimizer", "schedule"):
            if getattr(self, f"{part}_settings") and getattr(self, part) is None:
                raise ValueError(f"{part}_settings must be of the row's own {part}, but it names none; add `{part}:`")
        for part in ("head_start", "optimizer", "schedule"):
            word = getattr(self, part)
            if word is not None:
                FAMILY_OF[part].build(word, getattr(self, f"{part}_settings"))
        return self

    @model_validator(mode="after")
    def _fits_its_objective(self) -> Method:
        objective = OBJECTIVES.find(self.trained_with)
        fitted = ", ".join(name for name in self._changed() if name not in ("name", "objective"))
        if self.is_fitted and fitted:
            raise ValueError(
                f"objective {self.trained_with!r} is fitted to features and takes only a name; leave out {fitted}"
            )
        if self.source_head != "fresh" and self.objective is not None and not objective.uses_source_head:
            raise ValueError(f"objective {self.trained_with!r} has no source head; leave source_head out")
        if objective.uses_source and self.selector is None:
            raise ValueError(f"objective {self.trained_with!r} needs images of the source; add `selector:`")
        if self.selector is not None and not objective.uses_source:
            raise ValueError(
                f"objective {self.trained_with!r} uses no image of the source, but selector {self.selector!r} selects "
                "some; leave one of them out"
            )
        if self.longer and self.selector is not None:
            raise ValueError(
                f"longer must be left out of a row that reuses the source, but selector {self.selector!r} does"
            )
        return self

    @model_serializer(mode="wrap")
    def _to_word(self, write: SerializerFunctionWrapHandler) -> Any:
        """Write a row that a word stands for as the word, and of another row what it says."""
        changed = self._changed()
        return self.name if _row_of(self.name) == changed else {name: write(self)[name] for name in changed}

    def _changed(self) -> Settings:
        """Return the fields that differ from their defaults."""
        fields = {name: field.default for name, field in type(self).model_fields.items()}
        return {name: getattr(self, name) for name, default in fields.items() if getattr(self, name) != default}

    @property
    def trained_with(self) -> str:
        """The word of its objective; the one of labels, `joint`, where the study decides."""
        return self.objective or ("joint" if self.selector else "finetune")

    @property
    def is_fitted(self) -> bool:
        """Whether its trials fit a head to features instead of training a network."""
        return bool(OBJECTIVES.find(self.trained_with).is_fitted)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What its grid varies: what its members read, in the order of the table, those of the user last."""
        read = [
            *([] if self.is_fitted else OPTIMIZERS.find(self.optimizer or "sgd").hyperparameters),
            *OBJECTIVES.find(self.trained_with).hyperparameters,
            *([TOP_K] if self.selector else []),
        ]
        by_name = {each.read_as: each for each in read if not each.stands_for}
        by_name |= {each.read_as: each for each in read if each.stands_for}
        order = {each.read_as: place for place, each in reversed(list(enumerate(BUILT_IN)))}
        return tuple(sorted(by_name.values(), key=lambda each: order.get(each.read_as, len(order))))


FAMILY_OF = {
    "selector": SELECTORS,
    "objective": OBJECTIVES,
    "head_start": HEAD_STARTS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""The family that each field of a row names a member of."""


NAMED_ROWS: dict[str, Settings] = {"finetune_longer": {"longer": True}}
"""What the rows say that have a word of their own, not that of a selector or an objective."""


def method_words() -> list[str]:
    """List the words that stand for a row: objectives that need no source, named rows, and selectors."""
    alone = [word for word in OBJECTIVES.words() if _row_of(word) is not None]
    return [*alone, *NAMED_ROWS, *SELECTORS.words()]


def _row_of(word: str) -> Settings | None:
    """Return the fields of the row that a word stands for; None if it is no such word.

    The word of a selector reuses what it selects; that of an objective without a source trains with it.
    """
    if word in NAMED_ROWS:
        return {"name": word, **NAMED_ROWS[word]}
    if word in SELECTORS.words():
        return {"name": word, "selector": word}
    if word in OBJECTIVES.words() and not OBJECTIVES.find(word).uses_source:
        return {"name": word} if word == "finetune" else {"name": word, "objective": word}
    return None


def find_method(word: str) -> Method:
    """Return the row that a word stands for.

    >>> find_method("uot").selector, find_method("co_tuning").trained_with
    ('uot', 'co_tuning')
    """
    return Method.model_validate(word)
