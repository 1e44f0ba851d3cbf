"""The search space of a cell's grid: a range or a choice of values for each hyperparameter, by its scale."""

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
    from ray.tune.search.sample import Domain


@dataclass(frozen=True)
class SearchSpace:
    """The points that a model of the scores may propose for one cell.

    Attributes:
      ranges: smallest and largest value of each hyperparameter that is drawn between them: an integer, if both are;
        > 0 on a logarithmic scale.
      choices: the values of each other hyperparameter; a single value is fixed.
      linear: names of the ranges whose scale is linear; that of the others is logarithmic.
    """

    ranges: Mapping[str, tuple[float, float]]
    choices: Mapping[str, tuple[Any, ...]]
    linear: frozenset[str] = frozenset()

    @classmethod
    def of(cls, grid: GridSettings, method: Method) -> SearchSpace:
        """Return the space of a method.

        >>> from pretrieve.methods import find_method
        >>> space = SearchSpace.of(GridSettings(weight_decay=(0.0,)), find_method("uot"))
        >>> space.ranges, space.choices["weight_decay"]
        ({'lr': (0.001, 0.1), 'source_weight': (0.1, 1.0)}, (0.0,))
        """
        values = {name: tuple(dict.fromkeys(listed)) for name, listed in grid.values(method).items()}
        scales = {each.read_as: each.scale for each in method.hyperparameters if each.read_as in values}
        drawn = [name for name, scale in scales.items() if scale != "choice" and len(values[name]) > 1]
        return cls(
            ranges={name: (min(values[name]), max(values[name])) for name in drawn},
            choices={name: listed for name, listed in values.items() if name not in drawn},
            linear=frozenset(name for name in drawn if scales[name] == "linear"),
        )

    @property
    def num_points(self) -> float:
        """Number of points; infinite if there is a range."""
        return math.inf if self.ranges else math.prod(len(listed) for listed in self.choices.values())

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space as Optuna's distributions."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        spaces: dict[str, BaseDistribution] = {}
        for name, (low, high) in self.ranges.items():
            is_log = name not in self.linear
            if _are_integers(low, high):
                spaces[name] = IntDistribution(int(low), int(high), log=is_log)
            else:
                spaces[name] = FloatDistribution(low, high, log=is_log)
        return spaces | {name: CategoricalDistribution(listed) for name, listed in self.choices.items()}

    def tune_domains(self) -> dict[str, Domain]:
        """Return the space as Ray Tune's domains, without the hyperparameters that have one value."""
        from ray import tune

        domains: dict[str, Domain] = {}
        for name, (low, high) in self.ranges.items():
            if _are_integers(low, high):
                draw_integer = tune.randint if name in self.linear else tune.lograndint
                domains[name] = draw_integer(int(low), int(high) + 1)
            else:
                draw = tune.uniform if name in self.linear else tune.loguniform
                domains[name] = draw(low, high)
        return domains | {name: tune.choice(listed) for name, listed in self.choices.items() if len(listed) > 1}

    def corners(self) -> list[dict[str, Any]]:
        """List the corners of the ranges, largest values first, with the first value of each choice."""
        first = {name: listed[0] for name, listed in self.choices.items()}
        ends = [[(name, high), (name, low)] for name, (low, high) in self.ranges.items()]
        return [{**first, **dict(corner)} for corner in product(*ends)]

    def point(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the space's hyperparameters alone."""
        return {name: value for name, value in values.items() if name in self.ranges or name in self.choices}

    def holds(self, point: Hyperparameters) -> bool:
        """Return whether a point lies in the space."""
        values = point.values()
        within = all(name in values and low <= values[name] <= high for name, (low, high) in self.ranges.items())
        return within and all(values.get(name) in listed for name, listed in self.choices.items())


def _are_integers(*values: float) -> bool:
    return all(type(value) is int for value in values)
