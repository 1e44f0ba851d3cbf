"""A searcher for the one Tune run over all cells, which asks each cell in turn for a trial."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from pretrieve.metrics import VAL_SCORE
from pretrieve.search.strategies._base import TRIAL, CellName
from pretrieve.search.strategies.optuna import Proposals
from pretrieve.training.settings import Hyperparameters


class CellSearcher(Searcher):
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

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a searcher that does nothing: Tune saves it to restore it, but the ledger restores a study."""
        return Searcher, ()

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept Tune's own settings and ignore them: each cell has its own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        while self._turns:
            cell = self._turns.pop(0)
            proposal = cell.propose(trial_id)
            if proposal is not None:
                key, point = proposal
                self._turns.append(cell)
                self._running[trial_id] = (cell, key)
                return {TRIAL: self._plan(cell.cell, point)}
        return Searcher.FINISHED

    def close(self, cell: CellName) -> None:
        """Propose no more trials of a cell."""
        self._turns = [turn for turn in self._turns if turn.cell != cell]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignore an epoch: a model learns from ended trials only."""

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

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger knows all trials."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, for the same reason."""
