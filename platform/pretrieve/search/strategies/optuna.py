"""Optuna: a model of the scores so far proposes points (tree-structured Parzen estimators)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pretrieve.metric_names import VAL_SCORE
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies._base import Point
from pretrieve.search.strategies.asha import AshaStrategy
from pretrieve.settings_model import SettingsModel

if TYPE_CHECKING:
    from ray.tune.search import Searcher


@dataclass(config=SettingsModel.model_config)
class OptunaStrategy(AshaStrategy):
    """Let a model of the scores (TPE) propose points within the grid's bounds, and stop trials as `asha` does.

    The corners of the space come first.

    Attributes:
      grace_epochs: see `asha`.
      reduction_factor: see `asha`.
      num_trials: points to try in each cell, >= 1.
    """

    name = "optuna"
    proposes = True

    num_trials: Annotated[int, Field(ge=1)] = 16

    def searcher(
        self, space: SearchSpace, *, begun: Sequence[Point], scores: Sequence[tuple[Point, float]], seed: int
    ) -> Searcher:
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it writes a line for each study and trial
        known = [*begun, *(point for point, _ in scores)]
        first = [*begun, *(corner for corner in space.corners() if corner not in known)]
        searcher = OptunaSearch(
            space=space.distributions(),
            metric=VAL_SCORE,
            mode="max",
            points_to_evaluate=[dict(point) for point in first],
            seed=seed,
        )
        for point, score in scores:
            searcher.add_evaluated_point(dict(point), score)
        return searcher
