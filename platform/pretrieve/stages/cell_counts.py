"""For a forecast: how many trials and refits each cell will have, and how many of them have a result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from pretrieve.methods import METHODS
from pretrieve.records import CellRecord, StudyRecord
from pretrieve.records.forecast import CellForecast
from pretrieve.search.grid import GridSettings
from pretrieve.search.strategies.search_space import SearchSpace
from pretrieve.stages._base import Stage
from pretrieve.stages.cells import TrialMaker, objective_of
from pretrieve.stages.context import Context, NotMadeError
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.relationship import study_inputs
from pretrieve.stages.study_cells import SETTLING_METHOD
from pretrieve.stages.workload import refit_work, trial_work
from pretrieve.training.settings import Hyperparameters

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration

FINISHED = ("finished", "diverged")


@dataclass(frozen=True)
class CellCount:
    """The numbers of trials and refits of a cell: those that it will have, and those of them that have a result."""

    target: str
    method: str
    num_trials: int
    num_done: int
    num_refits: int
    num_refits_done: int

    @property
    def num_missing(self) -> int:
        """Trials and refits without a result."""
        return self.num_trials - self.num_done + self.num_refits - self.num_refits_done


class CellCountsStage(Stage[tuple[CellCount, ...]]):
    """Counts the trials of each cell; results count only where all inputs of the trials are in the store."""

    name = "cell counts"
    place = 81
    is_on_demand = True

    def load(self, context: Context) -> tuple[CellCount, ...]:
        counter = _Counter(context, context.record, _trial_maker(context))
        pairs = product(context.get(ImageSetsStage).targets, context.settings.methods)
        return tuple(counter.count(target, method) for target, method in pairs)


def timed_cells(context: Context, measured: Calibration) -> list[CellForecast]:
    """Return what is missing of each cell, and how long a trial and a refit of it take."""
    settings, targets = context.settings, context.get(ImageSetsStage).targets
    timed = []
    for cell in context.get(CellCountsStage):
        objective = objective_of(cell.method, settings)
        trial = trial_work(settings.training, targets[cell.target], objective)
        refit = refit_work(settings.training, targets[cell.target], objective)
        num_trials, num_refits = cell.num_trials - cell.num_done, cell.num_refits - cell.num_refits_done
        timed.append(
            CellForecast(
                **vars(cell),
                image_passes=num_trials * trial.image_passes + num_refits * refit.image_passes,
                trial_s=trial.seconds(measured.speeds[objective]),
                refit_s=refit.seconds(measured.speeds[objective]),
            )
        )
    return timed


def _trial_maker(context: Context) -> TrialMaker | None:
    """Return the maker of the trials where all their inputs are in the store; else None."""
    settings = context.settings
    makes, context.makes = context.makes, False
    try:
        inputs = study_inputs(context)
    except NotMadeError:
        return None
    finally:
        context.makes = makes
    return TrialMaker(settings, inputs, lambda key: settings.folder / "spool" / f"{key}.jsonl")


@dataclass(frozen=True)
class _Counter:
    context: Context
    record: StudyRecord | None
    trial_maker: TrialMaker | None

    def count(self, target: str, method: str) -> CellCount:
        settings, grid = self.context.settings, self._grid(target, method)
        if settings.search.proposes:
            space = SearchSpace.of(grid, METHODS[method])
            num_trials = int(min(settings.search.num_trials, space.num_points))
        else:
            num_trials = len(grid.points(METHODS[method]))
        done: Collection[str] = ()
        refits_done = 0
        known = self._known(target, method)
        if self.trial_maker is not None and known is not None:
            states = (*FINISHED, "stopped") if settings.search.may_stop else FINISHED
            finished = {trial.key for trial in known.trials if trial.state in states}
            if settings.search.proposes:
                points = [Hyperparameters.model_validate(dict(trial.hyperparameters)) for trial in known.trials]
                planned = {self.trial_maker.trial(target, method, point).spec.key for point in points}
            else:
                planned = {task.spec.key for task in self.trial_maker.cell(target, method, grid).trials}
                num_trials = len(planned)
            done = finished & planned
            refits_done = sum(refit.state in FINISHED for refit in known.refits)
        num_done = min(len(done), num_trials)
        num_refits = settings.refit.num_seeds
        if num_done < num_trials:
            refits_done = 0  # another configuration may be the best in the end
        return CellCount(target, method, num_trials, num_done, num_refits, min(refits_done, num_refits))

    def _grid(self, target: str, method: str) -> GridSettings:
        """Return the grid of a cell; the settling cell may have chosen the head's ratio."""
        grid = self.context.settings.grid
        if not grid.settles_head_lr_ratio(self.context.settings.methods) or method == SETTLING_METHOD:
            return grid
        settled = self._known(target, SETTLING_METHOD)
        best = settled.best if settled is not None else None
        return grid.with_head_lr_ratio(best["head_lr_ratio"] if best else grid.head_lr_ratio[0])

    def _known(self, target: str, method: str) -> CellRecord | None:
        cells = () if self.record is None else self.record.cells
        return next((cell for cell in cells if (cell.target, cell.method) == (target, method)), None)
