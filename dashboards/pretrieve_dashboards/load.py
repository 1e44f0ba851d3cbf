"""From MLflow's runs to the typed record of a study."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from mlflow.entities import Run

from pretrieve.records import (
    Attempt,
    AuditRecord,
    CellRecord,
    PlannedCell,
    PlanRecord,
    SelectionRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from pretrieve.tracking import schema
from pretrieve.tracking.address import uncollected, without_password
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.mlflow_experiment import MlflowExperiment
from pretrieve_dashboards.notebook import StudyInNotebook
from pretrieve_dashboards.views.leaks import SIDES
from pretrieve_dashboards.views.learning_curves import trials_to_follow

MAX_REQUESTS = 200
"""For the curves of one study: each may take tenths of a second where MLflow holds hundreds of thousands of values."""

_HYPERPARAMETERS = ("lr", "weight_decay", "head_lr_ratio", "source_weight")


def load_study(tracking_uri: str, name: str, *, with_curves: bool = False, with_trials: bool = True) -> StudyRecord:
    """Read a study from MLflow, finished or not.

    Only what belongs to the present plan counts: trials by the keys of the plan, refits by the keys that their
    cell names.

    Args:
      tracking_uri: MLflow's store.
      name: of the study and its experiment.
      with_trials: also read the trials, by far the most of a study; without them cells list none, and have all that
        their summaries hold: best configurations, refits, scores.
      with_curves: also read the learning curves of trials that did not record theirs at their end: those that run, and
        those of an earlier version; at one request to the store each.

    Returns:
      What the study left so far.

    Raises:
      DashboardError: the store does not answer, or the experiment or its plan is missing.
    """
    with uncollected():
        return _load(MlflowExperiment(tracking_uri, name), name, with_curves=with_curves, with_trials=with_trials)


def _load(store: MlflowExperiment, name: str, *, with_curves: bool, with_trials: bool) -> StudyRecord:
    study_run = _study_run(store, name)
    run_id = str(study_run.info.run_id)
    plan = _plan(store, run_id, name)
    tags, metrics = study_run.data.tags, study_run.data.metrics
    prefix = schema.STAGE_SECONDS_PREFIX
    cells = _cells(store, plan, with_trials=with_trials)
    return StudyInNotebook(
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


def _study_run(store: MlflowExperiment, name: str) -> Run:
    runs = store.runs(schema.KIND_STUDY)
    if not runs:
        raise DashboardError(
            f"the experiment of a study must hold a run with the tag {schema.TAG_KIND} = {schema.KIND_STUDY}, "
            f"but experiment {name!r} holds none; give the name of a study, or run it first"
        )
    return runs[0]


def _plan(store: MlflowExperiment, run_id: str, name: str) -> PlanRecord:
    found = store.records(run_id, PlanRecord, [schema.PLAN_ARTIFACT])
    if not found:
        raise DashboardError(
            f"a study must have planned its trials before it can be shown, but run {run_id} of experiment "
            f"{name!r} has no artifact {schema.PLAN_ARTIFACT}; run the study until its trials begin"
        )
    return found[0]


def _selections(store: MlflowExperiment, run_id: str, plan: PlanRecord) -> tuple[SelectionRecord, ...]:
    paths = [f"{schema.SELECTIONS_FOLDER}/{cell.target}/{cell.method}.json" for cell in plan.cells]
    return tuple(store.records(run_id, SelectionRecord, paths))


def _audits(store: MlflowExperiment, run_id: str, plan: PlanRecord) -> tuple[AuditRecord, ...]:
    settings = plan.settings.get("audit")
    if not isinstance(settings, dict) or not settings.get("enabled"):
        return ()  # what lies there is of an earlier plan
    paths = [f"{schema.AUDITS_FOLDER}/{target.name}-{side}.json" for target in plan.targets for side in SIDES]
    return tuple(store.records(run_id, AuditRecord, paths))


def _cells(store: MlflowExperiment, plan: PlanRecord, *, with_trials: bool) -> tuple[CellRecord, ...]:
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
        num_planned=cell.num_trials,
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
    """Return the chosen point as its trial has it: the cell's own copy may be in the words of an earlier plan."""
    trial = trials.get(tags.get(schema.TAG_BEST_KEY, ""))
    copied: dict[str, float] = json.loads(tags[schema.TAG_BEST])
    return copied if trial is None else trial.hyperparameters


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
        message=tags.get(schema.TAG_MESSAGE, "") if _is_of_its_end(state, metrics) else "",
        failure=tags.get(schema.TAG_FAILURE, "") if state == "failed" else "",
        interruptions=json.loads(tags.get(schema.TAG_INTERRUPTIONS, "{}")),
        stopped_epoch=int(metrics.get(schema.STOPPED_EPOCH, 0)) if state == "stopped" else None,
        stopped_score=_finite(score) if state == "stopped" else None,
        attempts=_attempts(run),
        curve=tuple((int(epoch), float(score)) for epoch, score in json.loads(tags.get(schema.TAG_CURVE, "[]"))),
    )


def _attempts(run: Run) -> tuple[Attempt, ...]:
    """Read what a run worked on and when; one of an earlier version has its first start and its last end alone."""
    recorded = json.loads(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))
    if recorded:
        return tuple(Attempt(*each) for each in recorded)
    start_ms, end_ms = run.info.start_time, run.info.end_time
    if not start_ms or not end_ms:
        return (Attempt("", int(start_ms), None),) if start_ms else ()
    # Between its first start and its last end such a run may have waited for hours: only the last stretch is known.
    worked_ms = round(1000 * run.data.metrics.get(schema.SECONDS, 0.0)) or end_ms - start_ms
    return (Attempt("", int(max(start_ms, end_ms - worked_ms)), int(end_ms)),)


def _is_of_its_end(state: TrialState, metrics: Mapping[str, float]) -> bool:
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


def grid_point(params: Mapping[str, str], top_ks: Sequence[int]) -> dict[str, float]:
    """Read the point of the grid that a trial or refit stands for, by the parameters of its MLflow run.

    `source_weight` and `top_k` are there only where the point has them; `top_ks` are the numbers of selected units in
    the present plan's grid, empty where it does not vary them.

    >>> params = {"lr": "0.1", "selection.top_k": "100", "selection.num_selected": "100"}
    >>> grid_point(params, ()), grid_point(params, (50, 100))
    ({'lr': 0.1}, {'lr': 0.1, 'top_k': 100})
    """
    point = {name: float(params[name]) for name in _HYPERPARAMETERS if params.get(name) not in (None, "None")}
    top_k = _top_k(params, top_ks)
    return point if top_k is None else point | {"top_k": top_k}


def _top_k(params: Mapping[str, str], top_ks: Sequence[int]) -> int | None:
    """Find which of the plan's numbers of units a run stands for.

    A run is known by its images, not by the number that was asked for: it may be older than this grid, where the number
    stood in `selection.top_k`, or of an earlier one. So the units that it reused decide, as they do in the plan, where
    the first number of the grid that gives these images stands for them.
    """
    if not top_ks or "selection.num_selected" not in params:
        return None
    num_selected = int(params["selection.num_selected"])
    asked = int(params.get("selection.top_k", num_selected))
    # A list of groups ends where it ends: every larger number gives the same images.
    is_whole = asked > num_selected or num_selected not in top_ks
    return next((k for k in top_ks if k == num_selected or (is_whole and k > num_selected)), None)


def read_curves(store: MlflowExperiment, cells: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
    """Read the curves of trials that did not record one at their end and are worth following, up to MAX_REQUESTS.

    Those that run come first. A trial that runs, or whose process was lost, has no end: the time of its last epoch
    stands for it.

    Raises:
      DashboardError: the store does not answer.
    """
    followed = [trial for cell in cells for trial in trials_to_follow(cell)]
    without = [trial for trial in followed if trial.state == "running" or not trial.curve]
    without.sort(key=lambda trial: trial.state != "running")
    histories = store.histories([trial.run_id for trial in without[:MAX_REQUESTS]], schema.VAL_SCORE)
    return tuple(
        replace(cell, trials=tuple(_with_curve(trial, histories.get(trial.run_id, [])) for trial in cell.trials))
        for cell in cells
    )


def _with_curve(trial: TrialRecord, history: Sequence[tuple[int, float, int]]) -> TrialRecord:
    curve = tuple((step, score) for step, score, _ in history if math.isfinite(score))
    attempts = trial.attempts
    if history and attempts and attempts[-1].end_ms is None:
        attempts = (*attempts[:-1], replace(attempts[-1], end_ms=history[-1][2]))
    return replace(trial, curve=curve, attempts=attempts) if history else trial
