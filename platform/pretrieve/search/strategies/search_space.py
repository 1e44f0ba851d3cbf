"""The search space of a cell's grid: a range for rates and weights, and a choice of values for the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from pretrieve.methods import Method
from pretrieve.search.grid import GridSettings
from pretrieve.training.settings import Hyperparameters

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_LOG_UNIFORM = ("lr", "source_weight")


@dataclass(frozen=True)
class SearchSpace:
    """The points that a model of the scores may propose for one cell.

    Attributes:
      ranges: smallest and largest value, both > 0, of each hyperparameter that is drawn on a logarithmic scale.
      choices: the values of each other hyperparameter; a single value is fixed.
    """

    ranges: Mapping[str, tuple[float, float]]
    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, grid: GridSettings, method: Method) -> SearchSpace:
        """Return the space of a method.

        >>> from pretrieve.methods import find_method
        >>> space = SearchSpace.of(GridSettings(weight_decay=(0.0,)), find_method("uot"))
        >>> space.ranges, space.choices["weight_decay"]
        ({'lr': (0.001, 0.1), 'source_weight': (0.1, 1.0)}, (0.0,))
        """
        values = {name: tuple(dict.fromkeys(listed)) for name, listed in grid.values(method).items()}
        drawn = [name for name in _LOG_UNIFORM if len(values.get(name, ())) > 1]
        return cls(
            ranges={name: (min(values[name]), max(values[name])) for name in drawn},
            choices={name: listed for name, listed in values.items() if name not in drawn},
        )

    @property
    def num_points(self) -> float:
        """Number of points; infinite if there is a range."""
        return math.inf if self.ranges else math.prod(len(listed) for listed in self.choices.values())

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space as Optuna's distributions."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            **{name: FloatDistribution(low, high, log=True) for name, (low, high) in self.ranges.items()},
            **{name: CategoricalDistribution(listed) for name, listed in self.choices.items()},
        }

    def corners(self) -> list[Hyperparameters]:
        """List the corners of the ranges, largest values first, with the first value of each choice."""
        first = {name: listed[0] for name, listed in self.choices.items()}
        ends = [[(name, high), (name, low)] for name, (low, high) in self.ranges.items()]
        return [Hyperparameters(**first, **dict(corner)) for corner in product(*ends)]

    def holds(self, point: Hyperparameters) -> bool:
        """Return whether a point lies in the space."""
        fields = point.values()
        within = all(name in fields and low <= fields[name] <= high for name, (low, high) in self.ranges.items())
        return within and all(fields.get(name) in listed for name, listed in self.choices.items())
