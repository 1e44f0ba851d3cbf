"""Proposing points for one cell by a model of the scores so far (tree-structured Parzen estimators)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ray.tune.search.optuna import OptunaSearch

from pretrieve.metrics import VAL_SCORE
from pretrieve.search.strategies._base import CellName
from pretrieve.search.strategies.search_space import SearchSpace
from pretrieve.training.settings import Hyperparameters

MAX_REPETITIONS = 50
"""How often in a row a model may propose points that were tried; then the cell has no points left."""


@dataclass(frozen=True)
class CellProblem:
    """The search of one cell.

    Attributes:
      cell: target and method.
      space: the points that may be proposed.
      key_of: returns the key of a point's trial.
      num_trials: all trials of the cell, including those of earlier runs.
      seed: of the model's draws.
      scores: score by point of the trials that ended in earlier runs; 0 for one that diverged.
      begun: points of the trials that earlier runs began and did not end; they are proposed first.
    """

    cell: CellName
    space: SearchSpace
    key_of: Callable[[Hyperparameters], str]
    num_trials: int
    seed: int
    scores: Mapping[Hyperparameters, float]
    begun: Sequence[Hyperparameters] = ()


class Proposals:
    """Proposes the trials of a cell: those begun, then the corners of its space, then the model's best points."""

    def __init__(self, problem: CellProblem) -> None:
        self.cell = problem.cell
        self._problem = problem
        known = {*problem.scores, *problem.begun}
        feasible = min(problem.num_trials, problem.space.num_points)
        self.num_left = len(problem.begun) + max(0, int(feasible) - len(known))
        self._score_by_key: dict[str, float | None] = {
            problem.key_of(point): score for point, score in problem.scores.items()
        }
        self._asked: dict[str, str] = {}
        self._search = self._warm_search()

    def _warm_search(self) -> OptunaSearch:
        problem = self._problem
        corners = [corner for corner in problem.space.corners() if corner not in {*problem.scores, *problem.begun}]
        names = list(problem.space.distributions())
        search = OptunaSearch(
            space=problem.space.distributions(),
            metric=VAL_SCORE,
            mode="max",
            points_to_evaluate=[point.model_dump(include=set(names)) for point in (*problem.begun, *corners)],
            seed=problem.seed,
        )
        for point, score in problem.scores.items():
            search.add_evaluated_point(point.model_dump(include=set(names)), score)
        return search

    def propose(self, trial_id: str) -> tuple[str, Hyperparameters] | None:
        """Return the key of a trial that was not tried, and its point; None if no point is left.

        `learn` is called with the same `trial_id` when the trial ended.
        """
        if self.num_left == 0:
            return None
        for repetition in range(MAX_REPETITIONS):
            asked_id = f"{trial_id}-{repetition}"
            point = Hyperparameters.model_validate(self._search.suggest(asked_id))
            key = self._problem.key_of(point)
            if key not in self._score_by_key:
                self.num_left -= 1
                self._asked[trial_id] = asked_id
                self._score_by_key[key] = None
                return key, point
            self._learn(asked_id, self._score_by_key[key])
        self.num_left = 0
        return None

    def learn(self, trial_id: str, key: str, score: float | None) -> None:
        """Learn the last validation score in [0, 1] of a proposed trial; None if it has no result."""
        self._score_by_key[key] = score
        self._learn(self._asked.pop(trial_id), score)

    def _learn(self, asked_id: str, score: float | None) -> None:
        result = None if score is None else {VAL_SCORE: score}
        self._search.on_trial_complete(asked_id, result=result, error=score is None)
