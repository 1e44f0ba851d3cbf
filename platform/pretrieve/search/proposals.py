"""Proposing the points of a cell, one after the other, by the searcher of its strategy."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from pretrieve.metric_names import VAL_SCORE
from pretrieve.search.ledger_searcher import LedgerSearcher
from pretrieve.search.search_space import SearchSpace
from pretrieve.search.strategies import SearchStrategy
from pretrieve.search.tune_config import TRIAL, CellName
from pretrieve.training.settings import Hyperparameters

MAX_REPETITIONS = 50
"""How often in a row a searcher may suggest points that were tried; then the cell has no points left."""


@dataclass(frozen=True)
class CellProblem:
    """The search of one cell."""

    cell: CellName
    strategy: SearchStrategy  # that proposes
    space: SearchSpace  # the points that may be proposed
    key_of: Callable[[Hyperparameters], str]  # returns the key of a point's trial
    num_trials: int  # all trials of the cell, including those of earlier runs
    seed: int  # of the searcher's draws
    scores: Mapping[Hyperparameters, float]  # of the trials that ended in earlier runs; 0 for one that diverged
    begun: Sequence[Hyperparameters] = ()  # of trials that earlier runs began and did not end; proposed first


class Proposals:
    """Proposes the trials of a cell: those begun, then the points that its searcher suggests."""

    def __init__(self, problem: CellProblem) -> None:
        self.cell = problem.cell
        self._key_of = problem.key_of
        known = {*problem.scores, *problem.begun}
        feasible = min(problem.num_trials, problem.space.num_points)
        self.num_left = len(problem.begun) + max(0, int(feasible) - len(known))
        self._asked: dict[str, str] = {}
        self._score_by_key: dict[str, float | None] = {
            problem.key_of(point): score for point, score in problem.scores.items()
        }
        point_of = problem.space.point
        self._search = problem.strategy.searcher(
            problem.space,
            begun=[point_of(begun.values()) for begun in problem.begun],
            scores=[(point_of(ended.values()), score) for ended, score in problem.scores.items()],
            seed=problem.seed,
        )

    def propose(self, trial_id: str) -> tuple[str, Hyperparameters] | None:
        """Return the key of a trial that was not tried, and its point; None if there is none.

        If there is none, `num_left` is 0, or the searcher waits for a trial of the cell to end. `learn` is called with
        the same `trial_id` when the trial ended.
        """
        for repetition in range(MAX_REPETITIONS if self.num_left else 0):
            asked_id = f"{trial_id}-{repetition}"
            suggestion = self._search.suggest(asked_id)
            if suggestion is None and self._asked:
                return None
            if not isinstance(suggestion, dict):  # it has finished, or waits although nothing runs
                break
            point = Hyperparameters.model_validate(suggestion)
            key = self._key_of(point)
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


class CellSearcher(LedgerSearcher):
    """Asks the cells for their next trial in turn, so that no cell waits until the others end.

    Args:
      cells: in the order of the plan.
      stopped: keys of the trials that were stopped early; their last score counts.
      outcome_of: returns the outcome of a trial that just ended, by its key.
      plan: records a proposed point and returns its trial as the text in Tune's configuration, see TRIAL.
    """

    def __init__(
        self,
        cells: Sequence[Proposals],
        *,
        stopped: Container[str],
        outcome_of: Callable[[str], str | None],
        plan: Callable[[CellName, Hyperparameters], str],
    ) -> None:
        super().__init__()
        self._turns = list(cells)
        self._stopped = stopped
        self._outcome_of = outcome_of
        self._plan = plan
        self._running: dict[str, tuple[Proposals, str]] = {}
        self.max_num_trials = sum(cell.num_left for cell in cells)

    def suggest(self, trial_id: str) -> Any:
        for cell in list(self._turns):
            self._turns.remove(cell)
            proposal = cell.propose(trial_id)
            if proposal is not None or cell.num_left:
                self._turns.append(cell)
            if proposal is not None:
                key, point = proposal
                self._running[trial_id] = (cell, key)
                return {TRIAL: self._plan(cell.cell, point)}
        return None if self._turns else Searcher.FINISHED

    def close(self, cell: CellName) -> None:
        """Propose no more trials of a cell."""
        self._turns = [turn for turn in self._turns if turn.cell != cell]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Report the end of a trial to its cell; one that diverged scores 0."""
        cell, key = self._running.pop(trial_id)
        cell.learn(trial_id, key, None if error else self._score(key, result or {}))

    def _score(self, key: str, result: Mapping[str, Any]) -> float | None:
        outcome = "stopped" if key in self._stopped else self._outcome_of(key)
        if outcome == "diverged":
            return 0.0
        score = result.get(VAL_SCORE)
        return float(score) if outcome in ("finished", "stopped") and score is not None else None
