"""The second half of the walk: trials → best on validation → refits → cell summaries, all in the ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pretrieve.execution.trial_task import TrialTask
from pretrieve.intervals import mean_and_ci95
from pretrieve.stages.cluster_connection import LazyCluster
from pretrieve.study.budget import BudgetKeeper, Refits
from pretrieve.study.cells import Cell, best_trial
from pretrieve.study.ledger_watcher import LedgerWatcher
from pretrieve.study.packing_stage import ResourceShares
from pretrieve.study.trial_plan import TrialPlan
from pretrieve.study.trial_stage import TrialStage, run_planned
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState


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
    plan: TrialPlan, cluster: LazyCluster, budget: BudgetKeeper, *, runs_trials: bool = True
) -> list[CellResult]:
    """Run the trials that are not finished, then the refits of each cell's best, and record the cells.

    Args:
      plan: knows the trials of each cell.
      cluster: connected to only when something must run.
      budget: says when nothing more is to run.
      runs_trials: False refits the best of the trials that are finished, and says what is missing of each cell.

    Returns:
      One result for each cell, in the plan's order.

    Raises:
      ResourceError: the cluster has not what a trial asks for.
    """
    before = _results(plan)
    _report_best_found(before, plan)
    resource_shares = ResourceShares(plan.planner.examples, cluster, plan.settings.cache / "packings", plan.clock)
    num_missing = sum(_num_missing_refits(result, plan) for result in before)
    budget.refits = Refits(num_missing, plan.planner.refits_longer_by(), plan.planner.refit_bytes())
    if not runs_trials:
        _notice_missing(plan)
    else:
        TrialStage(plan, resource_shares, budget).run()
        if budget.reached is not None:
            plan.clock.notice(f"{budget.reached}: no further trial is trained")
    results = _results(plan)
    refit_tasks = [task for result in results for task in result.all_refits]
    budget.refits = Refits()
    _run_refits(plan, refit_tasks, resource_shares, budget)
    for result in results:
        _record(result, plan.ledger)
    return results


def _results(plan: TrialPlan) -> list[CellResult]:
    """Choose the best configuration of each cell so far, and make its refits."""
    results = []
    for cell in plan.cells:
        best = best_trial(cell, plan.ledger.finished)
        point = best.spec.hyperparameters if best else None
        refits = plan.planner.refits(cell, point) if point else []
        with_leaks = plan.planner.refits_with_leaks(cell, point) if point else []
        results.append(CellResult(cell, best, tuple(refits), tuple(with_leaks)))
    return results


def _num_missing_refits(result: CellResult, plan: TrialPlan) -> int:
    finished = plan.ledger.finished
    num_done = sum(task.spec.key in finished for task in result.refits)
    return plan.settings.refit.num_seeds - num_done + sum(t.spec.key not in finished for t in result.refits_with_leaks)


def _report_best_found(results: Sequence[CellResult], plan: TrialPlan) -> None:
    for result in results:
        if result.best is not None:
            score = _score(plan.ledger.finished, result.best.spec.key)
            plan.clock.observer.best_found(result.cell.target, result.cell.method, score)


def _notice_missing(plan: TrialPlan) -> None:
    finished = plan.ledger.finished
    for cell in plan.cells:
        num_done = sum(task.spec.key in finished for task in cell.trials)
        if num_done == cell.num_planned:
            continue
        is_known = best_trial(cell, finished) is not None
        refitted = "the best of these is refitted" if is_known else "so there is nothing to refit"
        plan.clock.notice(
            f"{cell.target} · {cell.method}: {num_done} of {cell.num_planned} trials have a result; {refitted}"
        )


def _run_refits(
    plan: TrialPlan, tasks: Sequence[TrialTask], resource_shares: ResourceShares, budget: BudgetKeeper
) -> None:
    ledger, clock = plan.ledger, plan.clock
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
            run_planned(plan, missing, watcher, resource_shares, budget)


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
