"""The trials of a study: those of its grid, or those that are proposed, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tuner import run_tasks
from pretrieve.search.strategies._base import Strategy
from pretrieve.search.strategies.catalogue import proposing_strategy, stopping_strategy
from pretrieve.stages.stage_clock import Progressed
from pretrieve.study.budget import BudgetKeeper
from pretrieve.study.cells import Cell, interleaved
from pretrieve.study.ledger_watcher import LedgerWatcher
from pretrieve.study.packing_stage import ResourceShares
from pretrieve.study.trial_plan import TrialPlan


@dataclass(frozen=True)
class TrialStage:
    """Runs the trials that have no result.

    Attributes:
      plan: knows the trials of each cell, and learns those that are proposed.
      resource_shares: say what a trial gets, when something must run.
      budget: says when nothing more is to run.
    """

    plan: TrialPlan
    resource_shares: ResourceShares
    budget: BudgetKeeper

    def run(self) -> None:
        """Run them.

        Raises:
          ResourceError: the cluster has not what a trial asks for.
        """
        plan, finished = self.plan, self.plan.ledger.finished
        total = sum(cell.num_planned for cell in plan.cells)
        found = sum(task.spec.key in finished for cell in plan.cells for task in cell.trials)
        with plan.clock.stage("trials", total=total, done=found) as progressed:
            num_run = 0
            for pairs in plan.phases():
                cells = plan.open_phase(pairs)
                num_run += self._search(cells, _after(num_run, progressed))
                plan.close_phase(pairs)
                self._finish_one_of_each(pairs)

    def _search(self, cells: Sequence[Cell], progressed: Callable[[int, int], None]) -> int:
        """Run the trials of some cells and return how many there were to run."""
        plan = self.plan
        unfinished = [cell for cell in cells if cell.num_unknown or plan.missing([cell])]
        num_missing = len(plan.missing(unfinished)) + sum(cell.num_unknown for cell in unfinished)
        if num_missing and self.budget.used_up(plan.ledger.finished) is None:
            tasks = [] if plan.settings.search.proposes else self._in_turns(unfinished)
            watcher = LedgerWatcher(plan.ledger, plan.clock.observer, progressed, num_missing, self.budget)
            with plan.ledger.keeping_spools(task.spec.key for task in plan.missing(unfinished)):
                run_planned(plan, tasks, watcher, self.resource_shares, self.budget, self._strategy(unfinished))
        return num_missing

    def _in_turns(self, cells: Sequence[Cell]) -> list[TrialTask]:
        """List the missing trials, one of each cell in turn.

        Where a trial is stopped for being worse than those before it, an order from poor to good would stop none: so it
        is that of the keys, which know nothing of the grid.
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
        """Train a stopped trial to its end in each cell where those it was behind diverged, the best of them first."""
        plan = self.plan
        cells = [cell for cell in plan.cells if (cell.target, cell.method) in pairs]
        while (tasks := plan.best_stopped(cells)) and self.budget.used_up(plan.ledger.finished) is None:
            for task in tasks:
                plan.clock.notice(
                    f"{task.spec.target} · {task.spec.method}: no trial reached its last epoch with a score, so those "
                    "that were stopped are trained to their ends, the best one first, until one does"
                )
                CheckpointFile(task.checkpoint_path).remove()
                plan.ledger.reopen(task.spec.key)
            watcher = LedgerWatcher(plan.ledger, plan.clock.observer, lambda ended, of: None, len(tasks), self.budget)
            with plan.ledger.keeping_spools(task.spec.key for task in tasks):
                run_planned(plan, tasks, watcher, self.resource_shares, self.budget)


def run_planned(
    plan: TrialPlan,
    tasks: Sequence[TrialTask],
    watcher: LedgerWatcher,
    resource_shares: ResourceShares,
    budget: BudgetKeeper,
    strategy: Strategy | None = None,
) -> None:
    """Run trials or refits of a study on the cluster, those without a result alone."""
    resources = resource_shares.resources()
    budget.runs_on(resources)
    scratch = plan.settings.folder / "tune-trials"
    run_tasks(watcher.still_missing(tasks), resources, scratch, watcher, strategy, study=plan.settings.name)


def _after(num_before: int, progressed: Progressed) -> Callable[[int, int], None]:
    return lambda pieces, of: progressed(num_before + pieces, num_before + of)
