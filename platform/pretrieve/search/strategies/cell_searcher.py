"""One Tune run over all cells, and within it proposals for each cell alone, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from pretrieve.search.strategies._base import CellName
from pretrieve.search.strategies.optuna import Proposals
from pretrieve.search.tune_config import TASK, as_text
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Outcome
from pretrieve.training.trial_spec import TrialTask


class CellSearcher(Searcher):
    """Asks the cells for their next trial, one after the other, so that none waits for the others' ends.

    Args:
      cells: the cells, in the order of the plan.
      stopped: keys of the trials that were stopped early: their last score counts.
      outcome_of: tells how a trial that just ended did, by its key.
      proposed: hears of each trial before it runs.
    """

    def __init__(
        self,
        cells: Sequence[Proposals],
        *,
        stopped: Container[str],
        outcome_of: Callable[[str], Outcome | None],
        proposed: Callable[[TrialTask], None],
    ) -> None:
        super().__init__()
        self._turns = list(cells)
        self._stopped = stopped
        self._outcome_of = outcome_of
        self._proposed = proposed
        self._under_way: dict[str, tuple[Proposals, str]] = {}
        self.max_num_trials = sum(cell.num_left for cell in cells)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a searcher that does nothing: Tune saves it for a restore, which the ledger replaces."""
        return Searcher, ()

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept Tune's own settings: what is searched was said to each cell."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial of the cell whose turn it is, or that nothing is left."""
        while self._turns:
            cell = self._turns.pop(0)
            task = cell.next_task(trial_id)
            if task is not None:
                self._turns.append(cell)
                self._under_way[trial_id] = (cell, task.spec.key)
                self._proposed(task)
                return {TASK: as_text(task)}
        return Searcher.FINISHED

    def close(self, cell: CellName) -> None:
        """Propose nothing more in a cell."""
        self._turns = [turn for turn in self._turns if turn.cell != cell]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hear of an epoch: a model learns from ends alone."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the trial's cell how it ended; one that diverged scores 0."""
        cell, key = self._under_way.pop(trial_id)
        cell.tell(trial_id, key, None if error else self._score(key, result or {}))

    def _score(self, key: str, result: Mapping[str, Any]) -> float | None:
        outcome = "stopped" if key in self._stopped else self._outcome_of(key)
        if outcome == "diverged":
            return 0.0
        score = result.get(schema.VAL_SCORE)
        return float(score) if outcome in ("finished", "stopped") and score is not None else None

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the ledger knows what was tried."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Take nothing back, for the same reason."""
