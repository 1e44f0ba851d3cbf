"""The grid of hyperparameters (appendix A)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationInfo, create_model, model_validator

from pretrieve.components.hyperparameters import BUILT_IN, HEAD_LR_RATIO, Hyperparameter
from pretrieve.errors import nearest_word
from pretrieve.methods import Method
from pretrieve.settings_model import FieldFaultsError, SettingsModel
from pretrieve.training.settings import Hyperparameters


class GridSettings(SettingsModel):
    """The values to search; every combination is a trial. The defaults are the paper's grid with a fixed head ratio.

    Beside the fields below it has one for each hyperparameter of `components/hyperparameters.py`, and of those that
    members of the user's own read: a list of values under its name. `top_k` replaces `selection.top_k`, and the source
    is ranked once for all of its values (Figure 3b).

    Attributes:
      settle_head_lr_ratio: whether `finetune` alone searches several values of `head_lr_ratio`, for each target, and
        the other methods use its best one, as in the paper; otherwise every method searches all of them.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, tuple[Any, ...] | None]

    settle_head_lr_ratio: bool = True

    @model_validator(mode="before")
    @classmethod
    def _checks_values(cls, value: Any, info: ValidationInfo) -> Any:
        """Check each list by its hyperparameter; `own` of pydantic's context holds those that a user's members read."""
        if not isinstance(value, Mapping):
            return value
        table = [*BUILT_IN, *(info.context or {}).get("own", ())]
        known = ["settle_head_lr_ratio", *(each.name for each in table)]
        if unknown := [name for name in value if name not in known]:
            listed = ", ".join(sorted(known))
            raise FieldFaultsError(
                f"{name}: no such field; known here: {listed}.{nearest_word(str(name), known)}" for name in unknown
            )
        fields: dict[str, Any] = {each.name: _field_of(each) for each in table}
        checked = create_model("GridSettings", __base__=SettingsModel, settle_head_lr_ratio=(bool, True), **fields)
        return dict(checked.model_validate(value))

    def of(self, hyperparameter: Hyperparameter) -> tuple[Any, ...]:
        """Return the values of a hyperparameter; () for none."""
        return (self.__pydantic_extra__ or {}).get(hyperparameter.name) or ()

    def points(self, method: Method) -> list[Hyperparameters]:
        """List every point of a method once, in a fixed order; a point has only the hyperparameters that are used.

        >>> from pretrieve.methods import find_method
        >>> [len(GridSettings().points(find_method(word))) for word in ("finetune", "uot", "co_tuning")]
        [15, 45, 15]
        """
        values = self.values(method)
        points = [Hyperparameters(**dict(zip(values, point, strict=True))) for point in product(*values.values())]
        return list(dict.fromkeys(points))

    def values(self, method: Method) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter that a method searches, the fastest varying last."""
        searched = {each.read_as: self.of(each) for each in reversed(method.hyperparameters)}
        return {name: values for name, values in searched.items() if values}

    def settles_head_lr_ratio(self, methods: Sequence[str]) -> bool:
        """Return whether `finetune` is searched first, and its best ratio is used by the other methods."""
        is_open = len(set(self.of(HEAD_LR_RATIO))) > 1 and len(methods) > 1
        return is_open and self.settle_head_lr_ratio and "finetune" in methods

    def with_head_lr_ratio(self, ratio: float) -> GridSettings:
        return self.model_copy(update={HEAD_LR_RATIO.name: (ratio,)})


def _field_of(hyperparameter: Hyperparameter) -> tuple[Any, Any]:
    """Describe the field of a hyperparameter to pydantic: type and default."""
    listed: Any = Annotated[tuple[hyperparameter.type, ...], Field(min_length=1)]  # type: ignore[name-defined]
    return (listed, hyperparameter.grid) if hyperparameter.grid else (listed | None, None)
