"""Stopping the trials that fall behind the others of their cell, by a scheduler for each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from pretrieve.metric_names import EPOCH, SECONDS, VAL_SCORE
from pretrieve.search.tune_config import TRAINING_ITERATION, CellName, cell_and_key


class _NoController:
    """Stands for Tune's controller: schedulers decide by the scores of their cell alone, and wait for no trial."""

    def get_trials(self) -> list[Any]:
        return []

    def get_live_trials(self) -> list[Any]:
        return []


NO_CONTROLLER: Any = _NoController()


@dataclass(frozen=True)
class Stop:
    """The point where a trial was stopped."""

    epoch: int  # its last one
    num_epochs: int  # of a trial that is not stopped
    score: float  # on validation at that epoch, in [0, 1]
    seconds: float  # its running time
    unit: str = "epoch"  # what the search counts

    def describe(self) -> str:
        """Describe it in one line.

        >>> Stop(epoch=3, num_epochs=9, score=0.5, seconds=1.0).describe()
        'stopped after epoch 3 of 9 with a validation score of 50.0%: others of its cell were ahead'
        """
        return (
            f"stopped after {self.unit} {self.epoch} of {self.num_epochs} with a validation score of "
            f"{100 * self.score:.1f}%: others of its cell were ahead"
        )


@dataclass(frozen=True)
class EarlierTrial:
    """A trial with the scores of an earlier run: (epoch, validation score) in the order of the epochs."""

    cell: CellName
    key: str
    scores: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class _Replayed:
    """Stands for a trial of an earlier run: Tune's schedulers use a trial as a key, and read its identity alone."""

    trial_id: str


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
        # A Tune trial, or what stands for it, and its scores: by cell, then by key.
        self._compared: dict[CellName, dict[str, tuple[Any, list[tuple[int, float]]]]] = {}
        self._begun = {trial.key: trial.scores for trial in begun}
        self.stops: dict[str, Stop] = {}
        for each in earlier:
            self._compare(each.cell, each.key, _Replayed(each.key), each.scores)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a scheduler that stops nothing: Tune saves it to restore it, but the ledger restores a study."""
        return FIFOScheduler, ()

    def _compare(self, cell: CellName, key: str, trial: Any, scores: Sequence[tuple[int, float]]) -> None:
        """Add a trial to its cell with its scores so far, without a decision whether it goes on."""
        self._compared.setdefault(cell, {})[key] = (trial, list(scores))
        scheduler = self._of(cell)
        for epoch, score in scores:
            # Passed as the last score of an ending trial: it is recorded, and nothing is decided.
            scheduler.on_trial_add(NO_CONTROLLER, trial)
            _recorder(scheduler)(NO_CONTROLLER, trial, _result(epoch, {VAL_SCORE: score}))
        scheduler.on_trial_add(NO_CONTROLLER, trial)

    def _of(self, cell: CellName) -> TrialScheduler:
        if cell not in self._by_cell:
            self._by_cell[cell] = self._make_scheduler()
        return self._by_cell[cell]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add a trial to its cell, with its scores from before its process or its driver was lost."""
        cell, key = cell_and_key(trial.config)
        self._compare(cell, key, trial, self._begun.get(key, ()))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        cell, key = cell_and_key(trial.config)
        _, scores = self._compared[cell][key]
        # After the loss of its process a trial may repeat an epoch.
        last_epoch = scores[-1][0] if scores else 0
        if VAL_SCORE not in result or result[EPOCH] <= last_epoch:
            return str(TrialScheduler.CONTINUE)
        epoch, score = int(result[EPOCH]), float(result[VAL_SCORE])
        scores.append((epoch, score))
        decision = self._of(cell).on_trial_result(NO_CONTROLLER, trial, _result(epoch, result))
        if decision != TrialScheduler.STOP or epoch >= self._num_epochs:
            return str(TrialScheduler.CONTINUE)
        self.stops[key] = Stop(epoch, self._num_epochs, score, float(result.get(SECONDS, 0.0)))
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Forget a trial that ended early without being stopped; the scores of others were reported with each epoch."""
        cell, key = cell_and_key(trial.config)
        if key in self.stops or result.get(EPOCH, 0) >= self._num_epochs:
            return
        _, scores = self._compared[cell].pop(key)
        if scores:  # the cell's scheduler knows them, so it is made again from the scores of the other trials
            del self._by_cell[cell]
            for other, compared in list(self._compared[cell].items()):
                self._compare(cell, other, *compared)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        cell, key = cell_and_key(trial.config)
        self._compared[cell].pop(key, None)
        self._of(cell).on_trial_remove(NO_CONTROLLER, trial)


def _result(epoch: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of an epoch as a scheduler is told them; Tune's own count goes on at each start of a trial."""
    return {**metrics, EPOCH: epoch, TRAINING_ITERATION: epoch}


def _recorder(scheduler: TrialScheduler) -> Callable[..., Any]:
    """Return the method that records a score of an earlier run."""
    own = type(scheduler).on_trial_complete is not FIFOScheduler.on_trial_complete
    return scheduler.on_trial_complete if own else scheduler.on_trial_result
