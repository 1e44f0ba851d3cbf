"""The grid of hyperparameters (appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from pretrieve.methods import Method
from pretrieve.settings_model import SettingsModel
from pretrieve.training.settings import Hyperparameters

Positive = Annotated[float, Field(gt=0)]


class GridSettings(SettingsModel):
    """Values to search; every combination is a trial. The defaults are the paper's grid with the head ratio fixed.

    Attributes:
      lr: learning rates of the backbone.
      weight_decay: L2 penalties.
      source_weight: λ of eq. 6, for the methods that reuse the source.
      head_lr_ratio: learning rate of the heads over that of the backbone.
      settle_head_lr_ratio: whether several ratios are searched with `finetune` alone, target by target, whose best one
        the other methods then have, as in the paper; else every method searches them all.
      top_k: numbers of units to select, for the methods that select (Figure 3b); they stand in place of
        `selection.top_k`, and the source is ranked once for all of them. None: `selection.top_k` alone.
      co_tuning_lr: learning rates of the backbone for `co_tuning` (section 4.1).
      co_tuning_weight: trade-offs of `co_tuning` between the target's loss and that on the source's labels.
    """

    lr: Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        0.1,
        0.03,
        0.01,
        0.003,
        0.001,
    )
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (
        1e-4,
        1e-5,
        0.0,
    )
    source_weight: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 0.3, 0.1)
    head_lr_ratio: Annotated[tuple[Positive, ...], Field(min_length=1)] = (10.0,)
    settle_head_lr_ratio: bool = True
    top_k: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None
    co_tuning_lr: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    co_tuning_weight: Annotated[tuple[Positive, ...], Field(min_length=1)] = (2.3,)

    def points(self, method: Method) -> list[Hyperparameters]:
        """List every point of a method once, in a fixed order; each method has only what it reads.

        >>> from pretrieve.methods import METHODS
        >>> [len(GridSettings().points(METHODS[name])) for name in ("finetune", "uot", "co_tuning")]
        [15, 45, 15]
        """
        values = self.values(method)
        points = [Hyperparameters(**dict(zip(values, point, strict=True))) for point in product(*values.values())]
        return list(dict.fromkeys(points))

    def values(self, method: Method) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter of a method, that which varies fastest last; None for one unread."""
        rates, weights = self._rates_and_weights(method)
        return {
            "head_lr_ratio": self.head_lr_ratio,
            "top_k": self.top_k if self.top_k and method.selector else (None,),
            "source_weight": weights,
            "weight_decay": self.weight_decay,
            "lr": rates,
        }

    def settles_head_lr_ratio(self, methods: Sequence[str]) -> bool:
        """Say whether `finetune` is searched first, for the ratio that the other methods then have."""
        is_open = len(set(self.head_lr_ratio)) > 1 and len(methods) > 1
        return is_open and self.settle_head_lr_ratio and "finetune" in methods

    def with_head_lr_ratio(self, ratio: float) -> GridSettings:
        """Return the grid with one ratio."""
        return self.model_copy(update={"head_lr_ratio": (ratio,)})

    def _rates_and_weights(self, method: Method) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
        if method.objective == "co_tuning":
            return self.co_tuning_lr, self.co_tuning_weight
        return self.lr, self.source_weight if method.selector else (None,)
