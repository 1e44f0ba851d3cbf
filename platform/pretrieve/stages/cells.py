"""Stage: the cells of the study with their trials, as far as they are known; recorded in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pretrieve.artifacts.atomic_files import read_json, write_json
from pretrieve.data.image_set import ImageSet
from pretrieve.data.metric_words import find_metrics
from pretrieve.errors import UserError
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records import PlannedCell, PlanRecord, TargetRecord
from pretrieve.records.codec import from_json, to_json
from pretrieve.records.forecast import FORECAST_FILE
from pretrieve.stages._base import Stage
from pretrieve.stages.audit import AUDITS
from pretrieve.stages.context import Context
from pretrieve.stages.distances import DistancesStage
from pretrieve.stages.image_cache import write_left_out
from pretrieve.stages.image_sets import CARDS
from pretrieve.stages.inventory import write_inventory
from pretrieve.stages.looks import name_before_the_first_trial
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.selection_record import write_selection_records
from pretrieve.stages.study_cells import StudyCells
from pretrieve.stages.trial_maker import Cell, TrialMaker
from pretrieve.tracking import schema

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

PlannedKeys = Mapping[tuple[str, str, int], tuple[str, ...]]


class CellsStage(Stage[StudyCells]):
    """Makes a cell for each target and method, and records the cells and what they are made from."""

    name = "cells"
    place = 82

    def load(self, context: Context) -> StudyCells:
        """Make the cells, and record them with the selections, the cards, the audits and the forecast.

        Raises:
          NotMadeError: this walk has no ledger.
          LedgerError: MLflow does not answer.
        """
        settings, ledger, inputs = context.settings, context.ledger, study_inputs(context)
        if context.above is None:
            name_before_the_first_trial(settings, ledger)
        trial_maker = TrialMaker(settings, inputs, ledger.spool_path, [study_inputs(fold) for fold in context.folds()])
        study_cells = StudyCells(settings, trial_maker, ledger, context.clock, _chosen_before(context))
        write_inventory(context)
        files = [_write_plan(context, study_cells)]
        if context.above is None:  # the selections of later repeats are in the store alone
            files += [
                write_left_out(inputs, settings.folder),
                settings.folder / FORECAST_FILE,
                *[path for kind in (CARDS, AUDITS) for path in sorted((settings.folder / kind).rglob("*.*"))],
                *write_selection_records(settings, inputs),
            ]
        # There is a forecast only if one was asked for, and audits hold folders.
        folders = {path: path.parent.relative_to(settings.folder).as_posix() for path in files if path.is_file()}
        artifacts = [(path, None if folder == "." else folder) for path, folder in folders.items()]
        ledger.record_study(metrics={}, tags={}, artifacts=artifacts)
        study_cells.changed = lambda: ledger.attach(_write_plan(context, study_cells))
        return study_cells


def _chosen_before(context: Context) -> Mapping[tuple[str, str], TrialTask | None] | None:
    """Return what the first repeat chose, where this one takes its choice."""
    if context.settings.chooses_in(context.repeat):
        return None
    return {(each.cell.target, each.cell.method): each.best for each in context.top.get(CellsStage).results()}


def _record(name: str, target: ImageSet, source_distance: float | None) -> TargetRecord:
    metric, *further = find_metrics([target.metric, *target.further_metrics])
    return TargetRecord(
        name=name,
        metric=target.metric,
        num_classes=target.num_classes,
        num_images={split: target.num_images(split) for split in ("train", "val", "test")},
        metric_label=metric.label or metric.name,
        further_metrics={each.name: each.label or each.name for each in further},
        source_distance=source_distance,
    )


def _write_plan(context: Context, study_cells: StudyCells) -> Path:
    first = context.top
    inputs, settings = study_inputs(first), first.settings
    distances = first.find(DistancesStage) or {}
    targets = [_record(name, target, distances.get(name)) for name, target in inputs.targets.items()]
    before = _planned_before(settings)
    planned = [
        PlannedCell(cell.target, cell.method, keys, cell.num_planned, walk.repeat)
        for walk in first.repeats()
        for cell, keys in _known_cells(walk, study_cells if walk is context else None, study_cells, before)
    ]
    record = PlanRecord(
        backbone=inputs.backbone.architecture_name,
        # The address may hold a password, and artifacts are for everyone to see.
        settings=settings.model_dump(mode="json", exclude={"tracking_uri"}),
        methods=settings.method_names,
        targets=tuple(targets),
        cells=tuple(planned),
        hyperparameters=tuple(dict.fromkeys(each.read_as for each in settings.hyperparameters)),
    )
    path = settings.folder / schema.PLAN_ARTIFACT
    write_json(path, to_json(record))
    return path


def _known_cells(
    walk: Context, own: StudyCells | None, another: StudyCells, before: PlannedKeys
) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """Yield the cells of a repeat with the keys of their trials.

    A repeat that this run has not reached has as many trials as another, and the keys of the plan before: its results
    are shown until it is reached, which replaces wrong keys.
    """
    reached = own or cast("StudyCells | None", walk.results.get(CellsStage))
    for cell in (reached or another).cells:
        if not walk.settings.chooses_in(walk.repeat):
            yield Cell(cell.target, cell.method, ()), ()
        elif reached:
            yield cell, tuple(task.spec.key for task in cell.trials)
        else:
            yield cell, before.get((cell.target, cell.method, walk.repeat), ())[: cell.num_planned]


def _planned_before(settings: StudySettings) -> PlannedKeys:
    """Read the keys of the plan that an earlier run left, by target, method and repeat."""
    path = settings.folder / schema.PLAN_ARTIFACT
    try:
        plan = from_json(PlanRecord, read_json(path), str(path))
    except (OSError, ValueError, UserError):  # there is none, or a damaged one: it is written anew
        return {}
    return {(cell.target, cell.method, cell.repeat): cell.trial_keys for cell in plan.cells}
