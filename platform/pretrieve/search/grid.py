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
    """The values to search; every combination is a trial. The defaults are the paper's grid with a fixed head ratio.

    Attributes:
      lr: learning rates of the backbone.
      weight_decay: L2 penalties.
      source_weight: λ of eq. 6, for the methods that reuse the source.
      head_lr_ratio: learning rate of the heads, divided by that of the backbone.
      settle_head_lr_ratio: whether `finetune` alone searches several ratios, for each target, and the other methods
        use its best one, as in the paper; otherwise every method searches all ratios.
      top_k: numbers of units to select (Figure 3b), for the methods that select. They replace `selection.top_k`, and
        the source is ranked once for all of them. None uses `selection.top_k` alone.
      co_tuning_lr: learning rates of the backbone for `co_tuning` (section 4.1).
      co_tuning_weight: weights of the loss on the source's labels against the target's loss, for `co_tuning`.
    """

    lr: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.1, 0.03, 0.01, 0.003, 0.001)
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1e-4, 1e-5, 0.0)
    source_weight: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 0.3, 0.1)
    head_lr_ratio: Annotated[tuple[Positive, ...], Field(min_length=1)] = (10.0,)
    settle_head_lr_ratio: bool = True
    top_k: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None
    co_tuning_lr: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    co_tuning_weight: Annotated[tuple[Positive, ...], Field(min_length=1)] = (2.3,)

    def points(self, method: Method) -> list[Hyperparameters]:
        """List every point of a method once, in a fixed order; a point has only the hyperparameters that are used.

        >>> from pretrieve.methods import METHODS
        >>> [len(GridSettings().points(METHODS[name])) for name in ("finetune", "uot", "co_tuning")]
        [15, 45, 15]
        """
        values = self.values(method)
        points = [Hyperparameters(**dict(zip(values, point, strict=True))) for point in product(*values.values())]
        return list(dict.fromkeys(points))

    def values(self, method: Method) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter of a method, the fastest varying last; (None,) for an unused one."""
        rates: tuple[float, ...] = self.lr
        weights: tuple[float | None, ...] = self.source_weight if method.selector else (None,)
        if method.objective == "co_tuning":
            rates, weights = self.co_tuning_lr, self.co_tuning_weight
        return {
            "head_lr_ratio": self.head_lr_ratio,
            "top_k": self.top_k if self.top_k and method.selector else (None,),
            "source_weight": weights,
            "weight_decay": self.weight_decay,
            "lr": rates,
        }

    def settles_head_lr_ratio(self, methods: Sequence[str]) -> bool:
        """Return whether `finetune` is searched first, and its best ratio is used by the other methods."""
        is_open = len(set(self.head_lr_ratio)) > 1 and len(methods) > 1
        return is_open and self.settle_head_lr_ratio and "finetune" in methods

    def with_head_lr_ratio(self, ratio: float) -> GridSettings:
        return self.model_copy(update={"head_lr_ratio": (ratio,)})
