"""Settings of the transport problem and of a selection, checked where they are built."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pretrieve_selection.costs import COSTS
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.nearest_word import describe_choices


@dataclass(frozen=True, kw_only=True)
class TransportSettings:
    """How unbalanced transport (eq. 5) weighs its terms, and when its iteration stops.

    A value out of range raises a SelectionInputError, which lists all such values.

    Attributes:
      entropy_weight: the paper's ε, > 0; in the unit of the cost, as are both penalties.
      source_penalty: the paper's τ₁, > 0; weak, so that unrelated groups can lose their mass.
      target_penalty: the paper's τ₂, > 0; strong, so that every target class receives mass.
      tolerance: largest absolute error allowed in log u and log P·1, > 0 (or the rounding of float64, where that is
        larger).
      max_iterations: the iteration stops after this many updates, converged or not; ≥ 1.

    >>> TransportSettings(entropy_weight=0.5).target_penalty
    100.0
    """

    entropy_weight: float = 1.0
    source_penalty: float = 1.0
    target_penalty: float = 100.0
    tolerance: float = 1e-12
    max_iterations: int = 10_000

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise SelectionInputError(f"{type(self).__name__}: " + "; ".join(faults))

    def _faults(self) -> Iterator[str]:
        for name in ("entropy_weight", "source_penalty", "target_penalty", "tolerance"):
            yield from _unless_positive_number(name, getattr(self, name))
        yield from _unless_positive_integer("max_iterations", self.max_iterations)


@dataclass(frozen=True, kw_only=True)
class SelectionSettings(TransportSettings):
    """Settings of a selection, with the fields of `TransportSettings`.

    Attributes:
      top_k: number of groups to select, ≥ 1.
      cost: the cost that `uot` and `nearest` use: `cosine` or `l2`.
      cost_scale: the paper's ε_c, > 0: the distance that counts as one unit of cost in `uot`.
      greedy_cost: the cost that `greedy_ot` uses, likewise.

    >>> SelectionSettings(cost="l2", top_k=0)
    Traceback (most recent call last):
    ...
    pretrieve_selection.errors.SelectionInputError: SelectionSettings: top_k must be an integer >= 1, but is 0
    """

    # pydantic reads this where these settings are part of a larger model: an unknown key is an error there too.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    top_k: int = 100
    cost: str = "cosine"
    cost_scale: float = 0.01
    greedy_cost: str = "l2"

    def _faults(self) -> Iterator[str]:
        yield from _unless_positive_integer("top_k", self.top_k)
        for name in ("cost", "greedy_cost"):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in COSTS:
                yield f"{name} must be a known cost, but is {value!r}: {describe_choices(value, COSTS)}"
        yield from _unless_positive_number("cost_scale", self.cost_scale)
        yield from super()._faults()


def _unless_positive_number(name: str, value: object) -> Iterator[str]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # math.isfinite raises for an integer of four hundred digits, so the value is compared with the largest float.
    if not (is_number and 0 < value <= sys.float_info.max):  # type: ignore[operator]
        yield f"{name} must be a finite number > 0, but is {value!r}"


def _unless_positive_integer(name: str, value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        yield f"{name} must be an integer >= 1, but is {value!r}"
