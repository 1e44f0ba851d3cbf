"""What a study set out to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class TargetRecord:
    """A column of the table.

    Attributes:
      name: of the target.
      metric: `top1` or `mean_per_class`.
      num_classes: K.
      num_images: images by split.
    """

    name: str
    metric: str
    num_classes: int
    num_images: Mapping[str, int]


@dataclass(frozen=True)
class PlannedCell:
    """The trials of one (target, method) pair.

    Attributes:
      target: name of the target.
      method: name of the method.
      trial_keys: keys of its trials in the order of the grid, as far as they are known.
      num_trials: how many it will have, ≥ the number of keys.
    """

    target: str
    method: str
    trial_keys: tuple[str, ...]
    num_trials: int


@dataclass(frozen=True)
class PlanRecord:
    """What a study set out to do.

    Attributes:
      backbone: its name.
      settings: the whole configuration, nested.
      methods: the rows of the table.
      targets: its columns.
      cells: all pairs with their trials.
    """

    RECORD: ClassVar = "plan"
    VERSION: ClassVar = 1

    backbone: str
    settings: Mapping[str, Any]
    methods: tuple[str, ...]
    targets: tuple[TargetRecord, ...]
    cells: tuple[PlannedCell, ...]

    @property
    def top_ks(self) -> tuple[int, ...]:
        """Numbers of selected units in the grid; empty where it does not vary them."""
        return tuple(self.settings.get("grid", {}).get("top_k") or ())
