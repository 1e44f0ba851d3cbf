"""Stage: the trials of a study, of its grid or of proposed points, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest

from pretrieve.components import OBJECTIVES
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tuner import run_tasks
from pretrieve.records.forecast import StageForecast
from pretrieve.search.racing import RaceSearcher
from pretrieve.search.tune_search import TuneSearch, proposing_search, stopping_search
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.cell_counts import timed_cells
from pretrieve.stages.cells import CellsStage
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.ledger_watcher import LedgerWatcher
from pretrieve.stages.packing import PackingStage
from pretrieve.stages.race import CellRace
from pretrieve.stages.study_cells import StudyCells, best_trial, by_preference, planned_refits
from pretrieve.stages.trial_maker import Cell
from pretrieve.stages.trial_progress import Progressed, TrialProgress
from pretrieve.stages.workload import makespan, work_of

MLFLOW_BYTES_PER_TRIAL = 60_000
START_PASSES = 300.0
"""Image passes that take about as long as a trial's start: without them a quick row would promise days."""


class TrialsStage(Stage[StudyCells]):
    """Runs the trials that have no result; returns the cells."""

    name = "trials"
    place = 90

    def load(self, context: Context) -> StudyCells | None:
        """Return the cells where every trial has a result, or where this walk runs no trials."""
        found = context.get(CellsStage)
        _notify_of_results(found, names_missing=not context.runs_trials)
        if not context.runs_trials:
            return found
        is_unfinished = found.missing(found.cells) or any(cell.num_unknown for cell in found.cells)
        return None if is_unfinished or found.best_stopped(found.cells) else found

    def make(self, context: Context) -> StudyCells:
        """Run the trials that have no result, until the budget is used up.

        Raises:
          ResourceError: the cluster does not have what a trial asks for.
        """
        study_cells, budget = context.get(CellsStage), context.budget
        budget.refits = planned_refits(study_cells)
        finished = context.ledger.finished
        total = sum(cell.num_planned for cell in study_cells.cells)
        num_done = sum(task.spec.key in finished for cell in study_cells.cells for task in cell.trials)
        with context.ledger.delivering(), context.clock.stage(self.name, total=total, done=num_done) as progressed:
            _Search(context, study_cells).run(progressed)
        if budget.reached is not None:
            context.clock.notice(f"{budget.reached}: no further trial is trained")
        return study_cells

    def num_pieces(self, context: Context) -> int:
        return sum(cell.num_planned for cell in context.get(CellsStage).cells) if context.runs_trials else 0

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        missing = [[cell.trial_s] * (cell.num_trials - cell.num_done) for cell in timed_cells(context, measured)]
        in_turns = [seconds for seconds in chain.from_iterable(zip_longest(*missing)) if seconds is not None]
        num_concurrent = measured.resources.num_concurrent
        seconds = measured.tune_start_s + makespan(in_turns, num_concurrent) if in_turns else 0.0
        # A checkpoint holds the weights, their average where one is asked for, and the optimizer's state.
        trainings = [context.settings.training_of(name) for name in context.settings.method_names]
        num_per_weight = 1 + max(
            training.build_optimizer().num_state_per_weight + (training.weight_average is not None)
            for training in trainings
        )
        disk_bytes = num_per_weight * measured.weight_bytes * num_concurrent + MLFLOW_BYTES_PER_TRIAL * len(in_turns)
        return StageForecast(self.name, seconds, f"{len(in_turns):,} trials" if in_turns else "", disk_bytes)


@dataclass(frozen=True)
class _Search:
    """Runs the trials of the cells, phase by phase; `study_cells` gains the trials that are proposed."""

    context: Context
    study_cells: StudyCells

    def run(self, progressed: Progressed) -> None:
        num_run = 0
        for pairs in self.study_cells.phases():
            cells = self.study_cells.open_phase(pairs)
            num_run += self._search(cells, partial(_progressed_after, num_run, progressed))
            self.study_cells.close_phase(pairs)
            self._finish_one_of_each(pairs)

    def _search(self, cells: Sequence[Cell], progressed: Progressed) -> int:
        """Run the trials of some cells; return how many there were to run."""
        unfinished = [cell for cell in cells if cell.num_unknown or self.study_cells.missing([cell])]
        tasks, num_unknown = self._in_turns(unfinished), sum(cell.num_unknown for cell in unfinished)
        if unfinished and not self._is_used_up():
            run_planned(self.context, tasks, progressed, partial(self._tune_search, unfinished), num_unknown)
        return len(tasks) + num_unknown

    def _in_turns(self, cells: Sequence[Cell]) -> list[TrialTask]:
        """List the missing trials, one of each cell in turn, so that a first table exists early.

        Early stopping compares a trial with those before it, so an order from poor to good would stop none. The trials
        are therefore ordered by their keys, which do not follow the grid.
        """
        trials: list[Sequence[TrialTask]] = [cell.trials for cell in cells]
        if self.context.settings.search.may_stop:
            trials = [sorted(tasks, key=lambda task: task.spec.key) for tasks in trials]
        missing = {task.spec.key for task in self.study_cells.missing(cells)}
        turns = chain.from_iterable(zip_longest(*trials))
        return [task for task in turns if task is not None and task.spec.key in missing]

    def _tune_search(self, cells: Sequence[Cell], watcher: LedgerWatcher) -> TuneSearch:
        settings, study_cells = self.context.settings, self.study_cells
        search = settings.search
        if search.races and settings.folds != "official":
            races = [
                CellRace(by_preference(cell.trials), search.member, settings.folder, self.context.ledger, watcher)
                for cell in cells
            ]
            return TuneSearch(searcher=RaceSearcher(races))
        earlier, begun = (study_cells.earlier(cells, ended=ended) for ended in (True, False))
        stopping = stopping_search(search, settings.num_reports, earlier=earlier, begun=begun)
        if not search.proposes:
            return stopping
        return proposing_search(
            stopping,
            [study_cells.problem(cell) for cell in cells],
            plan=lambda pair, point: study_cells.add(pair, point).model_dump_json(),
            outcome_of=lambda key: self.context.ledger.end_of(key).outcome,
        )

    def _finish_one_of_each(self, pairs: Sequence[tuple[str, str]]) -> None:
        """In each cell where every unstopped trial diverged, train stopped trials to their end, the best one first."""
        cells = [cell for cell in self.study_cells.cells if (cell.target, cell.method) in pairs]
        while (tasks := self.study_cells.best_stopped(cells)) and not self._is_used_up():
            for task in tasks:
                self.context.clock.notice(
                    f"{task.spec.target} · {task.spec.method}: no trial reached its last epoch with a score, so those "
                    "that were stopped are trained to their ends, the best one first, until one does"
                )
                CheckpointFile(task.checkpoint_path).remove()
                self.context.ledger.reopen(task.spec.key)
            run_planned(self.context, tasks, lambda pieces, of, worth: None)

    def _is_used_up(self) -> bool:
        return self.context.budget.used_up(self.context.ledger.finished) is not None


def run_planned(
    context: Context,
    tasks: Sequence[TrialTask],
    progressed: Progressed,
    make_search: Callable[[LedgerWatcher], TuneSearch] | None = None,
    num_unknown: int = 0,
) -> None:
    """Run trials or refits on the cluster, except those that have a result; a search may stop some or propose more.

    `progressed` is called as `TrialProgress` says; of the trials, `num_unknown` are still to be proposed.
    """
    settings, ledger = context.settings, context.ledger
    works = {task.spec.key: _image_passes(context, task) for task in tasks}
    progress = TrialProgress(progressed, works, num_unknown)
    watcher = LedgerWatcher(ledger, context.clock.observer, progress, context.budget)
    with ledger.keeping_spools(task.spec.key for task in tasks):
        resources = context.get(PackingStage)
        context.budget.runs_on(resources)
        search = make_search(watcher) if make_search is not None else TuneSearch()
        # A search with a searcher begins with the unfinished trials.
        started = watcher.still_missing(tasks) if search.searcher is None else []
        run_tasks(started, resources, settings.folder / "tune-trials", watcher, search, study=settings.name)


def _image_passes(context: Context, task: TrialTask) -> float:
    """Return how many images pass through the network in a trial or refit, its start counted as some of them."""
    spec = task.spec
    if OBJECTIVES.find(spec.objective).is_fitted:
        return START_PASSES
    target = context.get(ImageSetsStage).targets[spec.target]
    work = work_of(spec.kind, spec.training, target, spec.objective, len(task.folds) or None)
    return START_PASSES + work.image_passes


def _progressed_after(num_before: int, progressed: Progressed, pieces: int, of: int, worth: float) -> None:
    progressed(num_before + pieces, num_before + of, worth=num_before + worth)


def _notify_of_results(study_cells: StudyCells, *, names_missing: bool) -> None:
    """Report each cell's best score of earlier runs, and name the cells whose trials are not all done, if asked."""
    finished = study_cells.ledger.finished
    for cell in study_cells.cells:
        best = best_trial(cell, finished)
        if best is not None and (score := finished[best.spec.key].score) is not None:
            study_cells.clock.observer.best_found(cell.target, cell.method, score)
        num_done = sum(task.spec.key in finished for task in cell.trials)
        if names_missing and num_done < cell.num_planned:
            refitted = "so there is nothing to refit" if best is None else "the best of these is refitted"
            study_cells.clock.notice(
                f"{cell.target} · {cell.method}: {num_done} of {cell.num_planned} trials have a result; {refitted}"
            )
