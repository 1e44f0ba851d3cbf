"""The walk of a study, from its settings to its report; every arrow of it is a module's job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pretrieve.atomic_files import write_json
from pretrieve.errors import BudgetUsedUpError, TrialsFailedError
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records import StudyRecord
from pretrieve.records.forecast import forecast_artifacts
from pretrieve.stages import walk_order
from pretrieve.stages.audit import audit_artifacts
from pretrieve.stages.context import walking
from pretrieve.stages.image_cache import write_left_out
from pretrieve.stages.image_sets import card_artifacts
from pretrieve.stages.inventory import write_inventory
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationship import trial_inputs
from pretrieve.stages.selection_record import write_selection_records
from pretrieve.stages.stage_clock import StageClock
from pretrieve.stages.trial_inputs import Materials
from pretrieve.study.budget import BudgetKeeper
from pretrieve.study.cells import Cell, Planner
from pretrieve.study.leftovers import remove_leftovers
from pretrieve.study.opening import make_folder, open_ledger
from pretrieve.study.search_stage import CellResult, failures, search
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_lock import sole_driver
from pretrieve.study.trial_plan import TrialPlan
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState


def run_study(settings: StudySettings, observer: StudyObserver, *, runs_trials: bool = True) -> StudyRecord:
    """Run what is missing of a study and write its report.

    Running it again computes nothing twice: every artifact and trial is found by the hash of what it was made from.

    Args:
      settings: the study.
      observer: hears of stages, trials and what a user should know.
      runs_trials: False refits the best of the trials that are finished, runs none, and tells what is missing.

    Returns:
      The record that MLflow holds at the end.

    Raises:
      UserError: the settings do not fit the data or the cluster.
      TrialsFailedError: some trials ended in an error; everything else is recorded, and the report says which.
      BudgetUsedUpError: the study's budget was used up first; the same holds.
    """
    make_folder(settings.folder)
    with sole_driver(settings.folder), ExitStack() as recording:
        ledger = open_ledger(settings)
        ledger.notice = observer.noticed
        recording.push(ledger.failing_on_error)
        with walking(settings, observer) as context:
            clock, cluster = context.clock, context.cluster
            budget = BudgetKeeper(settings.budget, settings.folder, settings.cache, _earlier_seconds(ledger))
            for stage in walk_order():
                if stage().applies(context):
                    context.get(stage)
            write_inventory(context)
            materials = trial_inputs(context)
            planner = Planner(settings, materials, ledger.spool_path)
            plan = TrialPlan(settings, planner, ledger, clock)
            _record_plan(settings, materials, plan.cells, ledger)
            plan.changed = lambda: ledger.attach(_write_plan(settings, materials, plan.cells))
            with ledger.delivering():
                results = search(plan, cluster, budget, runs_trials=runs_trials)
            ledger.end_open()
        _register_champions(settings, materials, results, ledger, clock)
        missing = failures(results, ledger)
        is_whole = not missing and not any(result.cell.num_unknown for result in results)
        left = remove_leftovers(settings.folder, {task.spec.key for task in missing})
        if left is not None:
            clock.notice(left)
        record = _finish(settings, ledger, clock, is_whole=is_whole)
    if missing and budget.reached is not None:
        num_done = sum(result.best is not None for result in results)
        raise BudgetUsedUpError(
            f"{budget.reached}: {len(missing)} trials and refits were not run to their ends; {num_done} of "
            f"{len(results)} cells have a best configuration, and the report "
            f"({settings.folder / schema.REPORT_ARTIFACT}) shows them; give a larger budget and run the study again to "
            "go on from there"
        )
    failed = missing if runs_trials else [task for task in missing if task.spec.kind == "refit"]
    if failed:
        named = "; ".join(f"{task.spec.target} · {task.spec.method}: {task.spec.describe()}" for task in failed[:5])
        trials = "1 trial has" if len(failed) == 1 else f"{len(failed)} trials have"
        raise TrialsFailedError(
            f"{trials} no result, the first: {named}. Their errors stand in MLflow and in the report "
            f"({settings.folder / schema.REPORT_ARTIFACT}); run the study again to try them again"
        )
    return record


def _record_plan(settings: StudySettings, materials: Materials, cells: Sequence[Cell], ledger: Ledger) -> None:
    plan_path = _write_plan(settings, materials, cells)
    left_out = write_left_out(materials, settings.folder)
    artifacts: list[tuple[Path, str | None]] = [(plan_path, None), (left_out, None)]
    artifacts += card_artifacts(settings.folder)
    artifacts += forecast_artifacts(settings.folder)
    artifacts += audit_artifacts(settings.folder)
    artifacts += write_selection_records(settings, materials)
    ledger.record_study(metrics={}, tags={}, artifacts=artifacts)


def _write_plan(settings: StudySettings, materials: Materials, cells: Sequence[Cell]) -> Path:
    path = settings.folder / schema.PLAN_ARTIFACT
    write_json(path, _plan(settings, materials, cells))
    return path


def _plan(settings: StudySettings, materials: Materials, cells: Sequence[Cell]) -> dict[str, Any]:
    targets = [
        {
            "name": name,
            "metric": target.metric,
            "num_classes": target.num_classes,
            "num_images": {split: target.num_images(split) for split in ("train", "val", "test")},
        }
        for name, target in materials.targets.items()
    ]
    return {
        "backbone": materials.backbone.architecture_name,
        # The address may hold a password, and artifacts are for everyone to see.
        "settings": settings.model_dump(mode="json", exclude={"tracking_uri"}),
        "methods": list(settings.methods),
        "targets": targets,
        "cells": [
            {
                "target": cell.target,
                "method": cell.method,
                "trial_keys": [task.spec.key for task in cell.trials],
                "num_trials": cell.num_planned,
            }
            for cell in cells
        ],
    }


def _register_champions(
    settings: StudySettings,
    materials: Materials,
    results: Sequence[CellResult],
    ledger: Ledger,
    clock: StageClock,
) -> None:
    winners = _winners(results, ledger)
    models: dict[str, str] = {}
    with clock.stage("models", total=len(winners)) as progressed:
        from pretrieve.tracking.champions import Champion, register_champion

        for target, result in winners.items():
            refit = _usable_refit(result, ledger)
            if refit is None or refit.weights_out is None:
                clock.notice(f"no model is registered for {target}: the weights of its refits are gone from storage")
                continue
            champion = Champion(
                model_name=f"{settings.name}.{target}",
                key=refit.spec.key,
                run_id=ledger.run_id(refit.spec.key),
                weights_path=refit.weights_out,
                architecture_name=refit.architecture_name,
                class_names=materials.targets[target].class_names,
                description=f"{refit.spec.method}, best on validation of {target}: {refit.spec.describe()}",
            )
            models[target] = register_champion(champion, ledger.tree)
            progressed(len(models), len(winners))
    ledger.record_study(metrics={}, tags={schema.TAG_MODELS: json.dumps(models)}, artifacts=[])


def _winners(results: Sequence[CellResult], ledger: Ledger) -> dict[str, CellResult]:
    """Choose each target's method on validation: choosing it on test would make the test score a lie."""
    winners: dict[str, tuple[float, CellResult]] = {}
    finished = ledger.finished
    for result in results:
        if result.best is None or not any(_has_score(task, finished) for task in result.refits):
            continue
        score = finished[result.best.spec.key].score
        target = result.cell.target
        if score is not None and (target not in winners or score > winners[target][0]):
            winners[target] = (score, result)
    return {target: result for target, (_, result) in winners.items()}


def _has_score(task: TrialTask, finished: Mapping[str, TrialState]) -> bool:
    return task.spec.key in finished and finished[task.spec.key].score is not None


def _usable_refit(result: CellResult, ledger: Ledger) -> TrialTask | None:
    """Return the first refit with a test score whose weights are in storage."""
    for task in result.refits:
        if _has_score(task, ledger.finished) and task.weights_out is not None and task.weights_out.exists():
            return task
    return None


def _finish(settings: StudySettings, ledger: Ledger, clock: StageClock, *, is_whole: bool) -> StudyRecord:
    from pretrieve_dashboards import experiment_note, load_study, run_notes, score_table, shared_runs_view, write_report

    ledger.end_study("FINISHED" if is_whole else "FAILED")
    with clock.stage("report", total=1) as progressed:
        ledger.record_study(metrics=_stage_seconds(ledger, clock.seconds), tags={}, artifacts=[])
        record = load_study(settings.tracking(), settings.name, with_curves=True)
        report, table = settings.folder / schema.REPORT_ARTIFACT, settings.folder / schema.TABLE_ARTIFACT
        write_report(record, report)
        table.write_text(score_table(record).to_csv(), encoding="utf-8")
        ledger.record_study(metrics={}, tags={}, artifacts=[(report, None), (table, None)])
        ledger.write_notes(
            run_notes(record, report), experiment=experiment_note(record), runs_view=shared_runs_view(record)
        )
        progressed(1, 1)
    ledger.record_study(metrics=_stage_seconds(ledger, {"report": clock.seconds["report"]}), tags={}, artifacts=[])
    return record


def _earlier_seconds(ledger: Ledger) -> float:
    """Add up what the stages of the study's earlier runs took."""
    metrics = _study_metrics(ledger)
    return sum(value for name, value in metrics.items() if name.startswith(schema.STAGE_SECONDS_PREFIX))


def _study_metrics(ledger: Ledger) -> Mapping[str, float]:
    metrics: Mapping[str, float] = ledger.persist(lambda: ledger.tree.client.get_run(ledger.study_run_id).data.metrics)
    return metrics


def _stage_seconds(ledger: Ledger, seconds: Mapping[Any, float]) -> dict[str, float]:
    """Add this run's stage times to those of the study's earlier runs."""
    before = _study_metrics(ledger)
    names = {f"{schema.STAGE_SECONDS_PREFIX}{stage.replace(' ', '_')}": value for stage, value in seconds.items()}
    return {name: before.get(name, 0.0) + value for name, value in names.items()}
