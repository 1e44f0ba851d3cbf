"""The second half of the walk: trials → best on validation → refits → cell summaries, all in the ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pretrieve.intervals import mean_and_ci95
from pretrieve.search.tuner import run_tasks
from pretrieve.study.budget import BudgetKeeper, Refits
from pretrieve.study.cells import Cell, Planner, best_trial
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.ledger_watcher import LedgerWatcher
from pretrieve.study.observer import StudyObserver
from pretrieve.study.packing_stage import TrialPlaces
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock
from pretrieve.study.trial_plan import TrialPlan
from pretrieve.study.trial_stage import TrialStage
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState
from pretrieve.training.trial_spec import TrialTask


@dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
      cell: the cell.
      best: the trial with the best validation score; None where none finished.
      refits: the refits of its configuration.
      refits_with_leaks: the same with the images that an audit left out, where there are any.
    """

    cell: Cell
    best: TrialTask | None
    refits: tuple[TrialTask, ...]
    refits_with_leaks: tuple[TrialTask, ...] = ()

    @property
    def all_refits(self) -> tuple[TrialTask, ...]:
        """Both."""
        return self.refits + self.refits_with_leaks


def search(
    settings: StudySettings,
    plan: TrialPlan,
    planner: Planner,
    ledger: Ledger,
    cluster: LazyCluster,
    clock: StageClock,
    budget: BudgetKeeper,
    *,
    runs_trials: bool = True,
) -> list[CellResult]:
    """Run the trials that are not finished, then the refits of each cell's best, and record the cells.

    Args:
      settings: the study.
      plan: knows the trials of each cell.
      planner: makes the refits.
      ledger: knows what is finished and records the rest.
      cluster: connected to only when something must run.
      clock: times the two stages.
      budget: says when nothing more is to run.
      runs_trials: False refits the best of the trials that are finished, and tells what is missing of each cell.

    Returns:
      One result for each cell, in the plan's order.

    Raises:
      ResourceError: the cluster has not what a trial asks for.
    """
    _tell_best_found(plan.cells, ledger, clock.observer)
    places = TrialPlaces(planner.examples, cluster, settings.cache / "packings", clock)
    budget.refits = Refits(
        _num_missing_refits(settings, plan, planner, ledger), planner.refits_longer_by(), planner.refit_bytes()
    )
    if runs_trials:
        TrialStage(settings, plan, ledger, places, budget, clock).run()
        _tell_used_up(budget, clock)
    else:
        _tell_missing(plan.cells, ledger, clock)
    results = []
    for cell in plan.cells:
        best = best_trial(cell, ledger.finished)
        point = best.spec.hyperparameters if best else None
        refits = planner.refits(cell, point) if point else []
        with_leaks = planner.refits_with_leaks(cell, point) if point else []
        results.append(CellResult(cell, best, tuple(refits), tuple(with_leaks)))
    refit_tasks = [task for result in results for task in result.all_refits]
    budget.refits = Refits()
    _run_refits(settings, refit_tasks, ledger, places, budget, clock)
    for result in results:
        _record(result, ledger)
    return results


def _num_missing_refits(settings: StudySettings, plan: TrialPlan, planner: Planner, ledger: Ledger) -> int:
    finished = ledger.finished
    best = [(cell, best_trial(cell, finished)) for cell in plan.cells]
    found = [task for cell, trial in best if trial for task in planner.refits(cell, trial.spec.hyperparameters)]
    with_leaks = [
        task for cell, trial in best if trial for task in planner.refits_with_leaks(cell, trial.spec.hyperparameters)
    ]
    num_missing_with_leaks = sum(task.spec.key not in finished for task in with_leaks)
    num_done = sum(task.spec.key in finished for task in found)
    return len(plan.cells) * settings.refit.num_seeds - num_done + num_missing_with_leaks


def _tell_used_up(budget: BudgetKeeper, clock: StageClock) -> None:
    if budget.reached is not None:
        clock.notice(f"{budget.reached}: no further trial is trained")


def _tell_best_found(cells: Sequence[Cell], ledger: Ledger, observer: StudyObserver) -> None:
    finished = ledger.finished
    for cell in cells:
        best = best_trial(cell, finished)
        if best is not None:
            observer.best_found(cell.target, cell.method, _score(finished, best.spec.key))


def _tell_missing(cells: Sequence[Cell], ledger: Ledger, clock: StageClock) -> None:
    finished = ledger.finished
    for cell in cells:
        num_done = sum(task.spec.key in finished for task in cell.trials)
        if num_done == cell.num_planned:
            continue
        is_known = best_trial(cell, finished) is not None
        refitted = "the best of these is refitted" if is_known else "so there is nothing to refit"
        clock.notice(
            f"{cell.target} · {cell.method}: {num_done} of {cell.num_planned} trials have a result; {refitted}"
        )


def _run_refits(
    settings: StudySettings,
    tasks: Sequence[TrialTask],
    ledger: Ledger,
    places: TrialPlaces,
    budget: BudgetKeeper,
    clock: StageClock,
) -> None:
    missing = [task for task in tasks if task.spec.key not in ledger.finished]
    with clock.stage("refits", total=len(tasks), done=len(tasks) - len(missing)) as progressed:
        if not missing:
            return
        used_up = budget.used_up(ledger.finished)
        if used_up is not None:
            clock.notice(f"{used_up}: {len(missing)} refits are not run")
            return
        if budget.reached is not None:
            clock.notice("the best of each cell so far is refitted")
        watcher = LedgerWatcher(ledger, clock.observer, progressed, len(missing), budget)
        with ledger.keeping_spools(task.spec.key for task in missing):
            resources = places.resources()
            budget.runs_on(resources)
            scratch = settings.folder / "tune-refits"
            run_tasks(watcher.still_missing(missing), resources, scratch, watcher, study=settings.name)


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
        schema.TAG_REFIT_KEYS_WITH_LEAKS: json.dumps([task.spec.key for task in result.refits_with_leaks]),
    }
    ledger.record_cell(cell.target, cell.method, metrics=metrics, tags=tags)


def _score(finished: Mapping[str, TrialState], key: str) -> float:
    score = finished[key].score
    assert score is not None, "the best trial was chosen by its score"
    return score


def failures(results: Sequence[CellResult], ledger: Ledger) -> list[TrialTask]:
    """List the trials and refits of the plan that have no result."""
    tasks = [task for result in results for task in result.cell.trials]
    tasks += [task for result in results for task in result.all_refits]
    return [task for task in tasks if task.spec.key not in ledger.finished]
