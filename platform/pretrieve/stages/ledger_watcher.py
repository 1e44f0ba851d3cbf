"""Passes the events of trials on, from Tune to their MLflow runs and to the observer of the study."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve import metric_names
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import TrialWatcher, record_stop
from pretrieve.search.early_stopping import Stop
from pretrieve.stages.budget import BudgetKeeper
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.stages.trial_progress import TrialProgress
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import FailureKind


class LedgerWatcher(TrialWatcher):
    """Opens each trial's MLflow run when it starts, and passes its events on."""

    def __init__(self, ledger: Ledger, observer: StudyObserver, progress: TrialProgress, budget: BudgetKeeper) -> None:
        self._ledger, self._observer, self._budget, self._progress = ledger, observer, budget, progress
        self._is_over = False
        self._broken: set[tuple[str, str]] = set()

    def still_missing(self, tasks: Sequence[TrialTask]) -> list[TrialTask]:
        """Leave out the trials that have meanwhile reported their end, and count them as ended."""
        finished = self._ledger.finished
        for task in tasks:
            if task.spec.key in finished:
                self._progress.ended(task.spec.key)
        return [task for task in tasks if task.spec.key not in finished]

    def trial_started(self, task: TrialTask) -> None:
        self._budget.started(task.spec.key)
        self._ledger.begin(task.spec, task.parameters())
        self._notify(task, "started")

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        self._ledger.notify_disk_has_space()
        score = metrics.get(schema.TEST_SCORE, metrics.get(schema.VAL_SCORE))
        epoch = int(metrics.get(metric_names.EPOCH, 0))
        self._notify(task, "progressed", score=score, epoch=epoch)
        self._progress.under_way(task.spec.key, epoch / task.num_reports)

    def trial_waits_for_disk(self, task: TrialTask) -> None:
        self._ledger.notify_disk_full()

    def trial_interrupted(self, task: TrialTask, kind: FailureKind, message: str) -> None:
        reason = message.strip().splitlines()[0] if message.strip() else "no reason given"
        self._observer.noticed(
            f"{task.spec.target} · {task.spec.method}, {task.spec.describe()}: {kind}, and is tried again ({reason})"
        )

    def trial_ended(self, task: TrialTask) -> FailureKind | None:
        self._ended(task)
        end = self._ledger.end_of(task.spec.key)
        cell = task.spec.target, task.spec.method
        if end.outcome is None and task.is_waiting:
            self._notify(task, "waiting", score=end.last_score)
            return None
        # Trials still running when the search or their cell ends are resumed by the next run.
        if end.outcome is None and (self._is_over or cell in self._broken):
            self._progress.ended(task.spec.key)
            return None
        if end.outcome is None:
            message = f"it returned, but wrote no end to {task.spool_path}"
            self._ledger.fail(task.spec.key, message, "program error")
            end = self._ledger.end_of(task.spec.key)
        if end.failure == "program error":
            self._broken.add(cell)
            reason = self._ledger.failure_message(task.spec.key)
            self._observer.noticed(f"{cell[0]} · {cell[1]}, {task.spec.describe()}: failed ({reason or 'see MLflow'})")
        self._notify(task, end.outcome or "failed", score=end.last_score)
        self._progress.ended(task.spec.key)
        return end.failure

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        self._ended(task)
        self._ledger.fail(task.spec.key, f"its process could not be started: {reason}", "process lost")
        self._notify(task, "failed")
        self._progress.ended(task.spec.key)

    def trial_dropped(self, task: TrialTask, stop: Stop) -> None:
        self._ledger.begin(task.spec, task.parameters())  # where an earlier driver ran its folds
        record_stop(task, stop)
        self.trial_ended(task)

    def trial_skipped(self, task: TrialTask) -> None:
        self._progress.ended(task.spec.key)

    def is_over(self) -> bool:
        """Return whether the budget is used up."""
        self._is_over = self._is_over or self._budget.used_up(self._ledger.finished) is not None
        return self._is_over

    def _ended(self, task: TrialTask) -> None:
        self._budget.ended(task.spec.key, waits=task.is_waiting)
        self._ledger.release_spool(task.spec.key)

    def _notify(self, task: TrialTask, state: str, *, score: float | None = None, epoch: int = 0) -> None:
        spec = task.spec
        self._observer.trial_event(
            TrialEvent(
                kind=spec.kind,
                target=spec.target,
                method=spec.method,
                description=spec.describe(),
                state=state,  # type: ignore[arg-type]  # outcomes of the spool and states of events are the same words
                epoch=epoch,
                score=score,
            )
        )
