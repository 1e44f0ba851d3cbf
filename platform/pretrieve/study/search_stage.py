"""The second half of the walk: trials → best on validation → refits → cell summaries, all in the ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pretrieve.intervals import mean_and_ci95
from pretrieve.search.tuner import run_tasks
from pretrieve.study.cells import Cell, Planner, best_trial, interleaved
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import FinishedTrial, Ledger
from pretrieve.training.trial_spec import TrialTask


@dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
      cell: the cell.
      best: the trial with the best validation score; None where none finished.
      refits: the refits of its configuration.
    """

    cell: Cell
    best: TrialTask | None
    refits: tuple[TrialTask, ...]


def search(
    settings: StudySettings,
    cells: Sequence[Cell],
    planner: Planner,
    ledger: Ledger,
    cluster: LazyCluster,
    clock: StageClock,
) -> list[CellResult]:
    """Run the trials that are not finished, then the refits of each cell's best, and record the cells.

    Args:
      settings: the study.
      cells: the plan.
      planner: makes the refits.
      ledger: knows what is finished and records the rest.
      cluster: connected to only when something must run.
      clock: times the two stages.

    Returns:
      One result for each cell, in the plan's order.

    Raises:
      ResourceError: the cluster has not what a trial asks for.
    """
    _tell_best_found(cells, ledger, clock.observer)
    _run_stage(settings, "trials", interleaved(list(cells)), ledger, cluster, clock)
    results = []
    for cell in cells:
        best = best_trial(cell, ledger.finished)
        refits = planner.refits(cell, best.spec.hyperparameters) if best else []
        results.append(CellResult(cell, best, tuple(refits)))
    refit_tasks = [task for result in results for task in result.refits]
    _run_stage(settings, "refits", refit_tasks, ledger, cluster, clock)
    for result in results:
        _record(result, ledger)
    return results


def _tell_best_found(cells: Sequence[Cell], ledger: Ledger, observer: StudyObserver) -> None:
    finished = ledger.finished
    for cell in cells:
        best = best_trial(cell, finished)
        if best is not None:
            observer.best_found(cell.target, cell.method, _score(finished, best.spec.key))


def _run_stage(
    settings: StudySettings,
    stage: str,
    tasks: Sequence[TrialTask],
    ledger: Ledger,
    cluster: LazyCluster,
    clock: StageClock,
) -> None:
    missing = [task for task in tasks if task.spec.key not in ledger.finished]
    done = len(tasks) - len(missing)
    with clock.stage("trials" if stage == "trials" else "refits", total=len(tasks), done=done) as progressed:
        if not missing:
            return
        cluster.connect()
        watcher = _Watcher(ledger, clock.observer, progressed, len(missing))
        with ledger.delivering():
            run_tasks(missing, cluster.trial_resources(), settings.folder / f"tune-{stage}", watcher)


class _Watcher:
    """Opens each trial's MLflow run when it starts, and passes on what happens to it."""

    def __init__(
        self, ledger: Ledger, observer: StudyObserver, progressed: Callable[[int, int], None], total: int
    ) -> None:
        self._ledger = ledger
        self._observer = observer
        self._progressed = progressed
        self._total = total
        self._num_ended = 0

    def trial_started(self, task: TrialTask) -> None:
        self._ledger.begin(task.spec, task.parameters())
        self._tell(task, "started")

    def trial_progressed(self, task: TrialTask, metrics: dict[str, float]) -> None:
        self._tell(task, "progressed", metrics)

    def trial_ended(self, task: TrialTask) -> None:
        self._num_ended += 1
        outcome, metrics = self._ledger.spooled_end(task.spec.key)
        if outcome is None:
            self._ledger.fail(task.spec.key, f"it returned, but wrote no end to {task.spool_path}")
        self._tell(task, outcome or "failed", metrics)
        self._progressed(self._num_ended, self._total)

    def trial_lost(self, task: TrialTask, reason: str) -> None:
        self._num_ended += 1
        self._ledger.fail(task.spec.key, f"its process was lost too often: {reason}")
        self._tell(task, "failed")
        self._progressed(self._num_ended, self._total)

    def _tell(self, task: TrialTask, state: str, metrics: Mapping[str, float] | None = None) -> None:
        metrics = metrics or {}
        spec = task.spec
        score = metrics.get(schema.TEST_SCORE, metrics.get(schema.VAL_SCORE))
        self._observer.trial_event(
            TrialEvent(
                kind=spec.kind,
                target=spec.target,
                method=spec.method,
                description=spec.describe(),
                state=state,  # type: ignore[arg-type]  # outcomes of the spool and states of events are the same words
                epoch=int(metrics.get("epoch", 0)),
                score=score,
            )
        )


def _record(result: CellResult, ledger: Ledger) -> None:
    cell, finished = result.cell, ledger.finished
    if result.best is None:
        return
    best = result.best.spec
    metrics = {schema.BEST_VAL_SCORE: _score(finished, best.key)}
    scores = [finished[task.spec.key].score for task in result.refits if task.spec.key in finished]
    tested = [score for score in scores if score is not None]
    if tested:
        mean, half_width = mean_and_ci95(tested)
        metrics[schema.TEST_MEAN] = mean
        if math.isfinite(half_width):
            metrics[schema.TEST_CI95] = half_width
    tags = {
        schema.TAG_BEST: json.dumps(best.hyperparameters.model_dump(exclude_none=True)),
        schema.TAG_BEST_KEY: best.key,
        schema.TAG_REFIT_KEYS: json.dumps([task.spec.key for task in result.refits]),
    }
    ledger.record_cell(cell.target, cell.method, metrics=metrics, tags=tags)


def _score(finished: Mapping[str, FinishedTrial], key: str) -> float:
    score = finished[key].score
    assert score is not None, "the best trial was chosen by its score"
    return score


def failures(cells: Sequence[Cell], results: Sequence[CellResult], ledger: Ledger) -> list[TrialTask]:
    """List the trials and refits of the plan that have no result."""
    tasks = [task for cell in cells for task in cell.trials]
    tasks += [task for result in results for task in result.refits]
    return [task for task in tasks if task.spec.key not in ledger.finished]
