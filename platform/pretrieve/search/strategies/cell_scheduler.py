"""A scheduler for the one Tune run over all cells, which asks a scheduler of each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from pretrieve.metrics import EPOCH, SECONDS, VAL_SCORE
from pretrieve.search.strategies._base import CellName, EarlierTrial, Stop, cell_and_key

_NO_CONTROLLER: Any = None
"""Scores of an earlier run have no Tune controller; both schedulers decide by the scores alone."""


@dataclass(frozen=True)
class _Replayed:
    """Stands for a trial of an earlier run: Tune's schedulers use a trial as a key, and read its identity alone."""

    trial_id: str


@dataclass
class _Compared:
    """A Tune trial, or a replacement, with its scores: (epoch, validation score) in the order of the epochs."""

    trial: Any
    scores: list[tuple[int, float]]


class CellScheduler(FIFOScheduler):
    """Asks the scheduler of a trial's own cell whether the trial goes on.

    A trial is never stopped at its last epoch, where it is finished. A trial that ends earlier without being stopped,
    because its loss became infinite, has no valid score, and its scores are no longer compared.

    Args:
      make_scheduler: makes the scheduler of a cell.
      num_epochs: of a trial that is not stopped.
      earlier: trials that ended in earlier runs; their scores count as if they were reported now.
      begun: trials that earlier runs began and this run continues.

    Attributes:
      stops: the trials stopped so far, by key.
    """

    def __init__(
        self,
        make_scheduler: Callable[[], TrialScheduler],
        num_epochs: int,
        earlier: Iterable[EarlierTrial] = (),
        begun: Iterable[EarlierTrial] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Ray
        self._make_scheduler = make_scheduler
        self._num_epochs = num_epochs
        self._by_cell: dict[CellName, TrialScheduler] = {}
        self._compared: dict[CellName, dict[str, _Compared]] = {}
        self._begun = {trial.key: trial for trial in begun}
        self.stops: dict[str, Stop] = {}
        for each in earlier:
            self._compare(each.cell, each.key, _Compared(_Replayed(each.key), list(each.scores)))

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a scheduler that stops nothing: Tune saves it to restore it, but the ledger restores a study."""
        return FIFOScheduler, ()

    def _compare(self, cell: CellName, key: str, compared: _Compared) -> None:
        """Add a trial to its cell with its scores so far, without a decision whether it goes on."""
        self._compared.setdefault(cell, {})[key] = compared
        scheduler = self._of(cell)
        for epoch, score in compared.scores:
            # Passed as the last score of an ending trial: both schedulers record it, and neither decides anything.
            scheduler.on_trial_add(_NO_CONTROLLER, compared.trial)
            scheduler.on_trial_complete(_NO_CONTROLLER, compared.trial, {EPOCH: epoch, VAL_SCORE: score})
        scheduler.on_trial_add(_NO_CONTROLLER, compared.trial)

    def _forget(self, cell: CellName, key: str) -> None:
        """Remove a trial: make the scheduler of its cell again from the scores of the other trials."""
        forgotten = self._compared[cell].pop(key)
        if forgotten.scores:
            del self._by_cell[cell]
            for other, compared in list(self._compared[cell].items()):
                self._compare(cell, other, compared)

    def _of(self, cell: CellName) -> TrialScheduler:
        if cell not in self._by_cell:
            self._by_cell[cell] = self._make_scheduler()
        return self._by_cell[cell]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add a trial to its cell, with its scores from before its process or its driver was lost."""
        cell, key = cell_and_key(trial.config)
        begun = self._begun.get(key)
        self._compare(cell, key, _Compared(trial, list(begun.scores) if begun else []))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        cell, key = cell_and_key(trial.config)
        compared = self._compared[cell][key]
        # After the loss of its process a trial may repeat an epoch.
        last_epoch = compared.scores[-1][0] if compared.scores else 0
        if VAL_SCORE not in result or result[EPOCH] <= last_epoch:
            return str(TrialScheduler.CONTINUE)
        compared.scores.append((int(result[EPOCH]), float(result[VAL_SCORE])))
        decision = self._of(cell).on_trial_result(tune_controller, trial, dict(result))
        if decision != TrialScheduler.STOP or result[EPOCH] >= self._num_epochs:
            return str(TrialScheduler.CONTINUE)
        self.stops[key] = Stop(
            epoch=int(result[EPOCH]),
            num_epochs=self._num_epochs,
            score=float(result[VAL_SCORE]),
            seconds=float(result.get(SECONDS, 0.0)),
        )
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Remove a trial that ended early without being stopped; the scores of others were reported with each epoch."""
        cell, key = cell_and_key(trial.config)
        if key not in self.stops and result.get(EPOCH, 0) < self._num_epochs:
            self._forget(cell, key)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        cell, key = cell_and_key(trial.config)
        self._compared[cell].pop(key, None)
        self._of(cell).on_trial_remove(tune_controller, trial)

    def debug_string(self) -> str:
        return f"{len(self.stops)} trials stopped in {len(self._by_cell)} cells"
