"""The race of one cell: which of its trials go on after each fold, as a function of what the folds predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pretrieve.artifacts.disk_space import write_once_disk_has_space
from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.data.metric_words import find_metrics
from pretrieve.execution.held_out import HeldOut
from pretrieve.execution.trial_task import TrialTask
from pretrieve.metric_names import SECONDS
from pretrieve.search.early_stopping import Stop
from pretrieve.search.strategies import SearchStrategy
from pretrieve.search.tune_config import CellName
from pretrieve.stages.image_scores import score_parts
from pretrieve.stages.ledger_watcher import LedgerWatcher
from pretrieve.tracking.ledger import Ledger

RACES = "races"


@dataclass
class CellRace:
    """The trials of one cell in rounds of a fold each.

    A decision is written, whole, before the first trial drops out by it. So it is made once, from the same scores, in
    whichever run of the study and however often its driver is killed.

    Attributes:
      tasks: of the whole cell, at least one, the preferred one of equals first.
      strategy: that races.
      folder: of the study.
      watcher: hears which trials drop out.
    """

    tasks: Sequence[TrialTask]
    strategy: SearchStrategy
    folder: Path
    ledger: Ledger
    watcher: LedgerWatcher
    _failed: set[str] = field(default_factory=set)
    _in_round: list[TrialTask] = field(default_factory=list)

    @property
    def cell(self) -> CellName:
        return self.tasks[0].spec.target, self.tasks[0].spec.method

    @property
    def max_num_runs(self) -> int:
        return len(self.tasks) * len(self.tasks[0].folds)

    def next_round(self) -> list[str]:
        """Let those behind drop out, and return what has the fewest folds, until its next one.

        A trial that failed in this run is left out; a later run trains it to its end.
        """
        self._failed |= {task.spec.key for task in self._in_round if not self._is_ended(task) and not task.is_waiting}
        left = [task for task in self.tasks if not self._is_ended(task) and task.spec.key not in self._failed]
        num_done = {task.spec.key: task.num_folds_done for task in left}
        least = min(num_done.values(), default=0)
        if least and len(left) > 1 and (dropped := self._behind(left, least)):
            for task in dropped:
                self.watcher.trial_dropped(task, _stop(task, least))
            return self.next_round()
        # A trial alone, or in its last fold, needs no further round.
        until = least + 1 if len(left) > 1 and least + 1 < len(self.tasks[0].folds) else None
        behind = [task for task in left if num_done[task.spec.key] == least]
        self._in_round = [task.model_copy(update={"until_fold": until}) for task in behind]
        return [task.model_dump_json() for task in self._in_round]

    def _is_ended(self, task: TrialTask) -> bool:
        return task.spec.key in self.ledger.finished

    def _behind(self, left: Sequence[TrialTask], num_folds: int) -> list[TrialTask]:
        """Return the trials that drop out after a fold, as it was decided first."""
        identity = content_key(cell=sorted(task.spec.key for task in self.tasks), fold=num_folds)
        path = self.folder / RACES / f"{identity}.json"
        if not is_kept(path):
            behind = self.strategy.behind(np.array([_parts(task, num_folds) for task in left]))
            decided = [task.spec.key for task, drops in zip(left, behind, strict=True) if drops]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_once_disk_has_space(partial(write_sealed_json, path, decided), self.ledger.notify_disk_full)
        keys = read_sealed_json(path)
        return [task for task in left if task.spec.key in keys]


def _parts(task: TrialTask, num_folds: int) -> NDArray[np.float64]:
    """Return what each held-out image of the first folds adds to the score of a trial."""
    found = [HeldOut.read(task.held_out_path(fold))[0] for fold in range(num_folds)]
    metric, *_ = find_metrics([task.spec.metric])
    outputs = torch.cat([each.logits for each in found]).double().numpy()
    return score_parts(outputs, torch.cat([each.labels for each in found]).numpy(), metric)


def _stop(task: TrialTask, num_folds: int) -> Stop:
    kept = [HeldOut.read(task.held_out_path(fold))[1] for fold in range(num_folds)]
    score = float(_parts(task, num_folds).mean())
    return Stop(num_folds, len(task.folds), score, sum(each.get(SECONDS, 0.0) for each in kept), unit="fold")
