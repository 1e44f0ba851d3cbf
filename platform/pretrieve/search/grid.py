"""The grid of hyperparameters (appendix A)."""

from __future__ import annotations

from itertools import product
from typing import Annotated

from pydantic import Field

from pretrieve.settings_model import SettingsModel
from pretrieve.training.settings import Hyperparameters


class GridSettings(SettingsModel):
    """Values to search; every combination is a trial. The defaults are the paper's grid with the head ratio fixed.

    Attributes:
      lr: learning rates of the backbone.
      weight_decay: L2 penalties.
      source_weight: λ of eq. 6, for the methods that reuse the source.
      head_lr_ratio: learning rate of the heads over that of the backbone.
    """

    lr: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (
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
    source_weight: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0, 0.3, 0.1)
    head_lr_ratio: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (10.0,)

    def points(self, *, uses_source: bool) -> list[Hyperparameters]:
        """List every point once, in a fixed order; λ only where the source is used.

        >>> len(GridSettings().points(uses_source=False)), len(GridSettings().points(uses_source=True))
        (15, 45)
        """
        weights: tuple[float | None, ...] = self.source_weight if uses_source else (None,)
        combinations = product(self.head_lr_ratio, weights, self.weight_decay, self.lr)
        points = [
            Hyperparameters(lr=lr, weight_decay=decay, source_weight=weight, head_lr_ratio=ratio)
            for ratio, weight, decay, lr in combinations
        ]
        return list(dict.fromkeys(points))
