"""From MLflow's runs to the typed record of a study."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from mlflow.entities import Run

from pretrieve.records import Attempt, AuditRecord, CellRecord, SelectionRecord, StudyRecord, TrialRecord, TrialState
from pretrieve.tracking import schema
from pretrieve.tracking.address import uncollected, without_password
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.grid_point import grid_point
from pretrieve_dashboards.plan import Plan, PlannedCell, parse_audit, parse_plan, parse_selection
from pretrieve_dashboards.store import StudyStore
from pretrieve_dashboards.trial_curves import read_curves


def load_study(tracking_uri: str, name: str, *, with_curves: bool = False, with_trials: bool = True) -> StudyRecord:
    """Read a study from MLflow, finished or not.

    Only what belongs to the present plan counts: trials by the keys of the plan, refits by the keys that their
    cell names.

    Args:
      tracking_uri: MLflow's store.
      name: of the study and its experiment.
      with_trials: also read the trials, by far the most of a study; without them cells list none, and all that their
        summaries say is there: best configurations, refits, scores.
      with_curves: also read the learning curves of trials that have not told theirs by an end: those that run, and
        those of an earlier version; at a request to the store each.

    Returns:
      What the study left so far.

    Raises:
      DashboardError: the store does not answer, or the experiment or its plan is missing.
    """
    with uncollected():
        return _load(StudyStore(tracking_uri, name), name, with_curves=with_curves, with_trials=with_trials)


def _load(store: StudyStore, name: str, *, with_curves: bool, with_trials: bool) -> StudyRecord:
    study_run = _study_run(store, name)
    run_id = str(study_run.info.run_id)
    plan = _plan(store, run_id, name)
    tags, metrics = study_run.data.tags, study_run.data.metrics
    prefix = schema.STAGE_SECONDS_PREFIX
    cells = _cells(store, plan, with_trials=with_trials)
    return StudyRecord(
        name=name,
        experiment_id=store.experiment_id,
        run_id=run_id,
        tracking_uri=without_password(store.tracking_uri),
        is_finished=study_run.info.status == "FINISHED",
        backbone=plan.backbone,
        settings=plan.settings,
        targets=plan.targets,
        methods=plan.methods,
        cells=read_curves(store, cells) if with_curves else cells,
        selections=_selections(store, run_id, plan),
        stage_seconds={key.removeprefix(prefix): seconds for key, seconds in metrics.items() if key.startswith(prefix)},
        models=json.loads(tags.get(schema.TAG_MODELS, "{}")),
        audits=_audits(store, run_id, plan),
    )


def _study_run(store: StudyStore, name: str) -> Run:
    runs = store.runs(schema.KIND_STUDY)
    if not runs:
        raise DashboardError(
            f"the experiment of a study must hold a run with the tag {schema.TAG_KIND} = {schema.KIND_STUDY}, "
            f"but experiment {name!r} holds none; give the name of a study, or run it first"
        )
    return runs[0]


def _plan(store: StudyStore, run_id: str, name: str) -> Plan:
    found = store.json_artifacts(run_id, schema.PLAN_ARTIFACT)
    if not found:
        raise DashboardError(
            f"a study must have planned its trials before it can be shown, but run {run_id} of experiment "
            f"{name!r} has no artifact {schema.PLAN_ARTIFACT}; run the study until its trials begin"
        )
    return parse_plan(found[schema.PLAN_ARTIFACT], f"{schema.PLAN_ARTIFACT} of run {run_id}")


def _selections(store: StudyStore, run_id: str, plan: Plan) -> tuple[SelectionRecord, ...]:
    found = store.json_artifacts(run_id, schema.SELECTIONS_FOLDER)
    paths = [f"{schema.SELECTIONS_FOLDER}/{cell.target}/{cell.method}.json" for cell in plan.cells]
    return tuple(parse_selection(found[path], f"{path} of run {run_id}") for path in paths if path in found)


def _audits(store: StudyStore, run_id: str, plan: Plan) -> tuple[AuditRecord, ...]:
    settings = plan.settings.get("audit")
    if not isinstance(settings, dict) or not settings.get("enabled"):
        return ()  # what lies there is of an earlier plan
    found = store.json_artifacts(run_id, schema.AUDITS_FOLDER)
    places = [
        (target.name, side, f"{schema.AUDITS_FOLDER}/{target.name}-{side}.json")
        for target in plan.targets
        for side in ("source", "train")
    ]
    return tuple(
        parse_audit(found[path], target, side, f"{path} of run {run_id}")
        for target, side, path in places
        if path in found
    )


def _cells(store: StudyStore, plan: Plan, *, with_trials: bool) -> tuple[CellRecord, ...]:
    runs = {
        (run.data.tags.get(schema.TAG_TARGET), run.data.tags.get(schema.TAG_METHOD)): run
        for run in store.runs(schema.KIND_CELL)
    }
    of_trials = store.runs(schema.KIND_TRIAL) if with_trials else []
    trials = _by_key(of_trials, "trial", plan.top_ks)
    refits = _by_key(store.runs(schema.KIND_REFIT), "refit", plan.top_ks)
    if not with_trials:
        best_keys = {
            run.data.tags[schema.TAG_BEST_KEY] for run in runs.values() if schema.TAG_BEST_KEY in run.data.tags
        }
        of_best = [run for key in sorted(best_keys) for run in store.runs(schema.KIND_TRIAL, key=key)]
        best = _by_key(of_best, "trial", plan.top_ks)
        cells = [_cell(cell, runs.get((cell.target, cell.method)), best, refits) for cell in plan.cells]
        return tuple(replace(cell, trials=()) for cell in cells)
    return tuple(_cell(cell, runs.get((cell.target, cell.method)), trials, refits) for cell in plan.cells)


def _cell(
    cell: PlannedCell,
    run: Run | None,
    trials: Mapping[str, TrialRecord],
    refits: Mapping[str, TrialRecord],
) -> CellRecord:
    tags = run.data.tags if run else {}
    metrics = run.data.metrics if run else {}
    # A summary of an earlier plan is none of this one: its best configuration is no longer a choice.
    is_current = schema.TAG_BEST in tags and tags.get(schema.TAG_BEST_KEY, "") in ("", *cell.trial_keys)
    refit_keys = json.loads(tags.get(schema.TAG_REFIT_KEYS, "[]")) if is_current else []
    leaky_keys = json.loads(tags.get(schema.TAG_REFIT_KEYS_WITH_LEAKS, "[]")) if is_current else []
    own_refits = tuple(refits[key] for key in refit_keys if key in refits)
    num_tested = sum(refit.score is not None for refit in own_refits)
    return CellRecord(
        target=cell.target,
        method=cell.method,
        run_id=str(run.info.run_id) if run else None,
        num_planned=cell.num_planned,
        trials=tuple(trials[key] for key in cell.trial_keys if key in trials),
        best=_best(tags, trials) if is_current else None,
        best_val_score=metrics.get(schema.BEST_VAL_SCORE) if is_current else None,
        refits=own_refits,
        # MLflow keeps the figures of an earlier best until the new one is tested: they are not its.
        test_mean=metrics.get(schema.TEST_MEAN) if num_tested else None,
        test_ci95=metrics.get(schema.TEST_CI95) if num_tested > 1 else None,
        refits_with_leaks=tuple(refits[key] for key in leaky_keys if key in refits),
    )


def _best(tags: Mapping[str, str], trials: Mapping[str, TrialRecord]) -> Mapping[str, float]:
    """Return the chosen point as its trial has it: the cell may have told it in the words of an earlier plan."""
    trial = trials.get(tags.get(schema.TAG_BEST_KEY, ""))
    told: dict[str, float] = json.loads(tags[schema.TAG_BEST])
    return told if trial is None else trial.hyperparameters


def _by_key(runs: Iterable[Run], kind: Literal["trial", "refit"], top_ks: Sequence[int]) -> dict[str, TrialRecord]:
    found: dict[str, TrialRecord] = {}
    for run in runs:
        record = _trial(run, kind, top_ks)
        known = found.get(record.key)
        if known is None or known.state not in ("finished", "diverged", "stopped"):
            found[record.key] = record
    return found


def _trial(run: Run, kind: Literal["trial", "refit"], top_ks: Sequence[int]) -> TrialRecord:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    state = _state(str(run.info.status), tags.get(schema.TAG_OUTCOME))
    score = metrics.get(schema.VAL_SCORE if kind == "trial" else schema.TEST_SCORE)
    return TrialRecord(
        key=tags.get(schema.TAG_KEY, ""),
        run_id=str(run.info.run_id),
        kind=kind,
        state=state,
        hyperparameters=grid_point(params, top_ks),
        seed=int(params.get("seed", 0)),
        score=_finite(score) if state == "finished" else None,
        seconds=metrics.get(schema.SECONDS, 0.0),
        message=tags.get(schema.TAG_MESSAGE, "") if _is_told_by_its_end(state, metrics) else "",
        failure=tags.get(schema.TAG_FAILURE, "") if state == "failed" else "",
        interruptions=json.loads(tags.get(schema.TAG_INTERRUPTIONS, "{}")),
        stopped_epoch=int(metrics.get(schema.STOPPED_EPOCH, 0)) if state == "stopped" else None,
        stopped_score=_finite(score) if state == "stopped" else None,
        attempts=_attempts(run),
        curve=tuple((int(epoch), float(score)) for epoch, score in json.loads(tags.get(schema.TAG_CURVE, "[]"))),
    )


def _attempts(run: Run) -> tuple[Attempt, ...]:
    """Read what a run worked on and when; one of an earlier version tells its first start and its last end alone."""
    told = json.loads(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))
    if told:
        return tuple(Attempt(*each) for each in told)
    start_ms, end_ms = run.info.start_time, run.info.end_time
    if not start_ms or not end_ms:
        return (Attempt("", int(start_ms), None),) if start_ms else ()
    # Between its first start and its last end such a run may have waited for hours: only the last stretch is known.
    worked_ms = round(1000 * run.data.metrics.get(schema.SECONDS, 0.0)) or end_ms - start_ms
    return (Attempt("", int(max(start_ms, end_ms - worked_ms)), int(end_ms)),)


def _is_told_by_its_end(state: TrialState, metrics: Mapping[str, float]) -> bool:
    """Say whether a run's message is of its latest attempt: MLflow keeps that of one that failed before it finished."""
    return state in ("diverged", "stopped", "failed") or (
        state == "finished" and metrics.get(schema.NUM_PARTS, 1.0) > 1
    )


def _state(status: str, outcome: str | None) -> TrialState:
    if outcome == "diverged":
        return "diverged"
    if outcome == "finished":
        return "finished"
    if outcome == "stopped" and status == "FINISHED":  # else it is under way again, to its end
        return "stopped"
    return "failed" if status == "FAILED" else "running"


def _finite(score: Any) -> float | None:
    return None if score is None or not math.isfinite(score) else float(score)
