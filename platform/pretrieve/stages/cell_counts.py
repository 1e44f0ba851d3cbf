"""Stage: for a forecast, how many trials and refits each cell will have, and how many of them have a result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from pretrieve.backbones import find_architecture
from pretrieve.components.hyperparameters import HEAD_LR_RATIO
from pretrieve.records import CellRecord
from pretrieve.records.forecast import CellForecast
from pretrieve.search.grid import GridSettings
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.relationships import find_study_inputs
from pretrieve.stages.study_cells import SETTLING_METHOD, num_proposed
from pretrieve.stages.trial_maker import SPLITS, TrialMaker
from pretrieve.stages.workload import fit_seconds, work_of
from pretrieve.training.settings import Hyperparameters

FINISHED = ("finished", "diverged")


class CellCountsStage(Stage[tuple[CellForecast, ...]]):
    """Counts the trials of each cell, untimed; results count only where all inputs of the trials are in the store."""

    name = "cell counts"
    place = 81
    is_on_demand = True

    def load(self, context: Context) -> tuple[CellForecast, ...]:
        pairs = list(product(context.get(ImageSetsStage).targets, context.settings.method_names))
        makers = [(walk, _find_trial_maker(walk)) for walk in context.repeats()]
        return tuple(_sum(_count(walk, maker, *pair) for walk, maker in makers) for pair in pairs)


def _find_trial_maker(walk: Context) -> TrialMaker | None:
    """Return what makes the tasks of a repeat; None where some of their inputs are not in the store."""
    inputs, folds = find_study_inputs(walk), [find_study_inputs(fold) for fold in walk.folds()]
    found = [fold for fold in folds if fold is not None]
    if inputs is None or len(found) < len(folds):
        return None
    spools = walk.settings.folder / "spool"
    return TrialMaker(walk.settings, inputs, lambda key: spools / f"{key}.jsonl", found)


def _sum(of_repeats: Iterable[CellForecast]) -> CellForecast:
    whole, *later = of_repeats
    for each in later:
        whole = replace(
            whole,
            num_trials=whole.num_trials + each.num_trials,
            num_done=whole.num_done + each.num_done,
            num_refits=whole.num_refits + each.num_refits,
            num_refits_done=whole.num_refits_done + each.num_refits_done,
        )
    return whole


def timed_cells(context: Context, measured: Calibration) -> list[CellForecast]:
    """Return what is missing of each cell, and how long a trial and a refit of it take."""
    settings, targets = context.settings, context.get(ImageSetsStage).targets
    feature_dim = find_architecture(settings.backbone.architecture_name).feature_dim
    timed = []
    for cell in context.get(CellCountsStage):
        row, target = settings.method(cell.method), targets[cell.target]
        objective = row.trained_with
        num_folds = settings.folds if isinstance(settings.folds, int) else None
        if row.is_fitted:
            sizes = [sum(target.num_images(split) for split in splits) for splits, _ in SPLITS.values()]
            fits = [fit_seconds(size, target.num_classes, feature_dim) for size in sizes]
            timed.append(replace(cell, trial_s=fits[0] * (num_folds or 1), refit_s=fits[1]))
            continue
        trial, refit = (
            work_of(kind, settings.training_of(cell.method), target, objective, num_folds) for kind in SPLITS
        )
        num_trials, num_refits = cell.num_trials - cell.num_done, cell.num_refits - cell.num_refits_done
        timed.append(
            replace(
                cell,
                image_passes=num_trials * trial.image_passes + num_refits * refit.image_passes,
                trial_s=trial.seconds(measured.speeds[objective]),
                refit_s=refit.seconds(measured.speeds[objective]),
            )
        )
    return timed


def _count(context: Context, trial_maker: TrialMaker | None, target: str, method: str) -> CellForecast:
    search, grid, known = context.settings.search, _grid(context, target, method), _known(context, target, method)
    row = context.settings.method(method)
    chooses = context.settings.chooses_in(context.repeat)
    num_trials = num_proposed(search, grid, row) if search.proposes else len(grid.points(row))
    num_trials = num_trials if chooses else 0
    num_done = num_refits_done = 0
    if trial_maker is not None and known is not None:
        trials = [trial for trial in known.trials if trial.repeat == context.repeat]
        states = (*FINISHED, "stopped") if search.may_stop else FINISHED
        if search.proposes:
            points = [Hyperparameters.model_validate(dict(trial.hyperparameters)) for trial in trials]
            planned = {trial_maker.trial(target, method, point).spec.key for point in points}
        else:
            planned = {task.spec.key for task in trial_maker.cell(target, method, grid).trials} if chooses else set()
            num_trials = len(planned)
        num_done = min(num_trials, len(planned & {trial.key for trial in trials if trial.state in states}))
        if num_done == num_trials:  # else another configuration may be the best in the end
            refits = [refit for refit in known.refits if refit.repeat == context.repeat]
            num_refits_done = sum(refit.state in FINISHED for refit in refits)
    num_refits = context.settings.num_refits(method)
    num_refits_done = min(num_refits_done, num_refits)
    return CellForecast(target, method, num_trials, num_done, num_refits, num_refits_done, 0, 0.0, 0.0)


def _grid(context: Context, target: str, method: str) -> GridSettings:
    """Return the grid of a cell; the settling cell may have chosen the head's ratio."""
    grid = context.settings.grid
    if not grid.settles_head_lr_ratio(context.settings.method_names) or method == SETTLING_METHOD:
        return grid
    settled = _known(context, target, SETTLING_METHOD)
    chosen = {choice.repeat: choice.hyperparameters for choice in settled.choices} if settled is not None else {}
    best = chosen.get(context.repeat)
    return grid.with_head_lr_ratio(best[HEAD_LR_RATIO.name] if best else grid.of(HEAD_LR_RATIO)[0])


def _known(context: Context, target: str, method: str) -> CellRecord | None:
    cells = () if context.record is None else context.record.cells
    return next((cell for cell in cells if (cell.target, cell.method) == (target, method)), None)
