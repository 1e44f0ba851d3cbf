"""Stage: the trials of a study, of its grid or of proposed points, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tuner import run_tasks
from pretrieve.records.forecast import StageForecast
from pretrieve.search.strategies.strategy import Strategy, proposing_strategy, stopping_strategy
from pretrieve.stages._base import Stage
from pretrieve.stages.cell_counts import timed_cells
from pretrieve.stages.cell_plan import CellsStage
from pretrieve.stages.cells import Cell, best_trial, interleaved
from pretrieve.stages.context import Context
from pretrieve.stages.ledger_watcher import LedgerWatcher
from pretrieve.stages.packing import PackingStage
from pretrieve.stages.stage_clock import Progressed
from pretrieve.stages.study_cells import StudyCells, planned_refits
from pretrieve.stages.workload import makespan

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration

MLFLOW_BYTES_PER_TRIAL = 60_000


class TrialsStage(Stage[StudyCells]):
    """Runs the trials that have no result; returns the cells."""

    name = "trials"
    place = 90

    def load(self, context: Context) -> StudyCells | None:
        """Return the cells where every trial has a result, or where this walk runs no trials."""
        plan = context.get(CellsStage)
        _report_best_found(plan)
        if not context.runs_trials:
            _notice_missing(plan)
            return plan
        has_trials_to_run = plan.missing(plan.cells) or any(cell.num_unknown for cell in plan.cells)
        return None if has_trials_to_run or plan.best_stopped(plan.cells) else plan

    def make(self, context: Context) -> StudyCells:
        """Run the trials that have no result, until the budget is used up.

        Raises:
          ResourceError: the cluster does not have what a trial asks for.
        """
        plan, budget = context.get(CellsStage), context.budget
        budget.refits = planned_refits(plan)
        finished = plan.ledger.finished
        total = sum(cell.num_planned for cell in plan.cells)
        found = sum(task.spec.key in finished for cell in plan.cells for task in cell.trials)
        with plan.ledger.delivering(), context.clock.stage(self.name, total=total, done=found) as progressed:
            _Search(context, plan).run(progressed)
        if budget.reached is not None:
            context.clock.notice(f"{budget.reached}: no further trial is trained")
        return plan

    def num_pieces(self, context: Context) -> int:
        return sum(cell.num_planned for cell in context.get(CellsStage).cells) if context.runs_trials else 0

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        cells = timed_cells(context, measured)
        missing = [cell.num_trials - cell.num_done for cell in cells]
        most = max(missing, default=0)
        in_turns = [cell.trial_s for turn in range(most) for cell in cells if turn < cell.num_trials - cell.num_done]
        num_concurrent = measured.resources.num_concurrent
        seconds = measured.tune_start_s + makespan(in_turns, num_concurrent) if in_turns else 0.0
        # A checkpoint holds the weights and their momentum.
        checkpoints = 2 * measured.weight_bytes * num_concurrent
        return StageForecast(
            self.name,
            seconds,
            f"{len(in_turns):,} trials" if in_turns else "",
            disk_bytes=checkpoints + MLFLOW_BYTES_PER_TRIAL * len(in_turns),
        )


@dataclass(frozen=True)
class _Search:
    """Runs the trials of the cells, phase by phase; `plan` gains the trials that are proposed."""

    context: Context
    plan: StudyCells

    def run(self, progressed: Progressed) -> None:
        num_run = 0
        for pairs in self.plan.phases():
            cells = self.plan.open_phase(pairs)
            num_run += self._search(cells, _after(num_run, progressed))
            self.plan.close_phase(pairs)
            self._finish_one_of_each(pairs)

    def _search(self, cells: Sequence[Cell], progressed: Callable[[int, int], None]) -> int:
        """Run the trials of some cells; return how many there were to run."""
        plan = self.plan
        unfinished = [cell for cell in cells if cell.num_unknown or plan.missing([cell])]
        num_missing = len(plan.missing(unfinished)) + sum(cell.num_unknown for cell in unfinished)
        if num_missing and self.context.budget.used_up(plan.ledger.finished) is None:
            tasks = [] if plan.settings.search.proposes else self._in_turns(unfinished)
            watcher = LedgerWatcher(plan.ledger, plan.clock.observer, progressed, num_missing, self.context.budget)
            with plan.ledger.keeping_spools(task.spec.key for task in plan.missing(unfinished)):
                run_planned(self.context, tasks, watcher, self._strategy(unfinished))
        return num_missing

    def _in_turns(self, cells: Sequence[Cell]) -> list[TrialTask]:
        """List the missing trials, one of each cell in turn.

        Early stopping compares a trial with those before it, so an order from poor to good would stop none. The trials
        are therefore ordered by their keys, which do not follow the grid.
        """
        if self.plan.settings.search.may_stop:
            by_key = [sorted(cell.trials, key=lambda task: task.spec.key) for cell in cells]
            cells = [Cell(cell.target, cell.method, tuple(trials)) for cell, trials in zip(cells, by_key, strict=True)]
        missing = {task.spec.key for task in self.plan.missing(cells)}
        return [task for task in interleaved(list(cells)) if task.spec.key in missing]

    def _strategy(self, cells: Sequence[Cell]) -> Strategy:
        search, num_epochs, plan = self.plan.settings.search, self.plan.settings.training.epochs, self.plan
        if not search.may_stop:
            return Strategy()
        earlier, begun = plan.earlier(cells, ended=True), plan.earlier(cells, ended=False)
        stopping = stopping_strategy(search, num_epochs, earlier=earlier, begun=begun)
        if not search.proposes:
            return stopping
        return proposing_strategy(
            stopping,
            plan.problems(cells),
            plan=lambda pair, point: plan.add(pair, point).model_dump_json(),
            outcome_of=lambda key: plan.ledger.end_of(key).outcome,
        )

    def _finish_one_of_each(self, pairs: Sequence[tuple[str, str]]) -> None:
        """In each cell where every unstopped trial diverged, train stopped trials to their end, the best one first."""
        plan = self.plan
        cells = [cell for cell in plan.cells if (cell.target, cell.method) in pairs]
        while (tasks := plan.best_stopped(cells)) and self.context.budget.used_up(plan.ledger.finished) is None:
            for task in tasks:
                plan.clock.notice(
                    f"{task.spec.target} · {task.spec.method}: no trial reached its last epoch with a score, so those "
                    "that were stopped are trained to their ends, the best one first, until one does"
                )
                CheckpointFile(task.checkpoint_path).remove()
                plan.ledger.reopen(task.spec.key)
            watcher = LedgerWatcher(
                plan.ledger, plan.clock.observer, lambda ended, of: None, len(tasks), self.context.budget
            )
            with plan.ledger.keeping_spools(task.spec.key for task in tasks):
                run_planned(self.context, tasks, watcher)


def run_planned(
    context: Context, tasks: Sequence[TrialTask], watcher: LedgerWatcher, strategy: Strategy | None = None
) -> None:
    """Run trials or refits of a study on the cluster, except those that have a result."""
    settings, resources = context.settings, context.get(PackingStage)
    context.budget.runs_on(resources)
    scratch = settings.folder / "tune-trials"
    run_tasks(watcher.still_missing(tasks), resources, scratch, watcher, strategy, study=settings.name)


def _report_best_found(plan: StudyCells) -> None:
    finished = plan.ledger.finished
    for cell in plan.cells:
        best = best_trial(cell, finished)
        if best is not None and (score := finished[best.spec.key].score) is not None:
            plan.clock.observer.best_found(cell.target, cell.method, score)


def _notice_missing(plan: StudyCells) -> None:
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


def _after(num_before: int, progressed: Progressed) -> Callable[[int, int], None]:
    return lambda pieces, of: progressed(num_before + pieces, num_before + of)
