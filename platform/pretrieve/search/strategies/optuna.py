"""Points proposed by a model of the scores told so far (tree-structured Parzen estimators), for one cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ray.tune.search.optuna import OptunaSearch

from pretrieve.search.strategies._base import CellName
from pretrieve.search.strategies.search_space import SearchSpace
from pretrieve.tracking import schema
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import TrialTask

MAX_REPETITIONS = 50
"""How often in a row a model may propose what was tried; then the cell has nothing left to try."""


@dataclass(frozen=True)
class CellProblem:
    """What is to be searched in one cell.

    Attributes:
      cell: its target and method.
      space: what may be proposed.
      make_task: makes the trial of a point.
      num_trials: trials of the cell in all, those of earlier runs included.
      seed: of the model's draws.
      scores: score by point of the trials that earlier runs ended, 0 for one that diverged.
      begun: points of trials that earlier runs began and did not end; they come first.
    """

    cell: CellName
    space: SearchSpace
    make_task: Callable[[Hyperparameters], TrialTask]
    num_trials: int
    seed: int
    scores: Mapping[Hyperparameters, float]
    begun: Sequence[Hyperparameters] = ()


class Proposals:
    """Proposes the trials of a cell: those begun, then the corners of its space, then what the model thinks best.

    Args:
      problem: the cell.
    """

    def __init__(self, problem: CellProblem) -> None:
        self.cell = problem.cell
        self._problem = problem
        known = {*problem.scores, *problem.begun}
        feasible = min(problem.num_trials, problem.space.num_points)
        self.num_left = len(problem.begun) + max(0, int(feasible) - len(known))
        self._score_by_key: dict[str, float | None] = {
            problem.make_task(point).spec.key: score for point, score in problem.scores.items()
        }
        self._asked: dict[str, str] = {}
        self._search = self._warm_search()

    def _warm_search(self) -> OptunaSearch:
        problem = self._problem
        corners = [corner for corner in problem.space.corners() if corner not in {*problem.scores, *problem.begun}]
        names = list(problem.space.distributions())
        search = OptunaSearch(
            space=problem.space.distributions(),
            metric=schema.VAL_SCORE,
            mode="max",
            points_to_evaluate=[point.model_dump(include=set(names)) for point in (*problem.begun, *corners)],
            seed=problem.seed,
        )
        for point, score in problem.scores.items():
            search.add_evaluated_point(point.model_dump(include=set(names)), score)
        return search

    def next_task(self, trial_id: str) -> TrialTask | None:
        """Propose a trial that was not tried; None where nothing is left.

        Args:
          trial_id: what its end will be told by.
        """
        if self.num_left == 0:
            return None
        for repetition in range(MAX_REPETITIONS):
            asked_id = f"{trial_id}-{repetition}"
            point = self._search.suggest(asked_id)
            task = self._problem.make_task(Hyperparameters.model_validate(point))
            if task.spec.key not in self._score_by_key:
                self.num_left -= 1
                self._asked[trial_id] = asked_id
                self._score_by_key[task.spec.key] = None
                return task
            self._tell(asked_id, self._score_by_key[task.spec.key])
        self.num_left = 0
        return None

    def tell(self, trial_id: str, key: str, score: float | None) -> None:
        """Take in how a proposed trial ended.

        Args:
          trial_id: what it was proposed by.
          key: of the trial.
          score: its last validation score in [0, 1]; None where it has no result.
        """
        self._score_by_key[key] = score
        self._tell(self._asked.pop(trial_id), score)

    def _tell(self, asked_id: str, score: float | None) -> None:
        result = None if score is None else {schema.VAL_SCORE: score}
        self._search.on_trial_complete(asked_id, result=result, error=score is None)


def quiet_optuna() -> None:
    """Keep Optuna from writing a line for each study and trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
