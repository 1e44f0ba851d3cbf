"""Read the record of a study from MLflow's runs and artifacts."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from mlflow.entities import Run

from pretrieve.components.hyperparameters import TOP_K, read_number
from pretrieve.intervals import LEAST_VALUES
from pretrieve.records import (
    Attempt,
    AuditRecord,
    CellRecord,
    ChoiceRecord,
    LabelCurve,
    LabelCurves,
    PlannedCell,
    PlanRecord,
    SelectionRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
    VerdictRecord,
)
from pretrieve.records.predictions import PREDICTIONS, predictions_name
from pretrieve.tracking import schema
from pretrieve.tracking.address import uncollected, without_password
from pretrieve_dashboards.errors import DashboardError
from pretrieve_dashboards.mlflow_experiment import MlflowExperiment
from pretrieve_dashboards.notebook import ShownStudy
from pretrieve_dashboards.views import View
from pretrieve_dashboards.views._trial_lines import trials_to_follow
from pretrieve_dashboards.wording import AUDIT_SIDES

MAX_REQUESTS = 200
"""For the curves of one study. A request takes tenths of a second if MLflow holds hundreds of thousands of values."""


@uncollected()
def load_study(
    tracking_uri: str,
    name: str,
    *,
    with_curves: bool = False,
    with_trials: bool = True,
    views: Sequence[View] = (),
) -> StudyRecord:
    """Read a finished or unfinished study from MLflow.

    Only what belongs to the present plan counts: the trials whose keys the plan lists, and the refits whose keys their
    cell lists.

    Args:
      tracking_uri: MLflow's store.
      name: of the study and its experiment.
      with_trials: also read the trials, which are most of a study. Without them the cells list no trials, but have all
        that their summaries hold: best configurations, refits, scores.
      with_curves: also read the learning curves of trials that did not record theirs at their end, with one request
        for each: running trials, and trials of an earlier version.
      views: shown beside those of this package wherever the record is shown.

    Raises:
      DashboardError: the store does not answer, or the experiment or its plan is missing.
    """
    experiment = MlflowExperiment(tracking_uri, name)
    runs = experiment.runs(schema.KIND_STUDY)
    if not runs:
        raise DashboardError(
            f"the experiment of a study must hold a run with the tag {schema.TAG_KIND} = {schema.KIND_STUDY}, "
            f"but experiment {name!r} holds none; give the name of a study, or run it first"
        )
    study_run, run_id = runs[0], str(runs[0].info.run_id)
    plans = experiment.records(run_id, PlanRecord, [schema.PLAN_ARTIFACT])
    if not plans:
        raise DashboardError(
            f"a study must have planned its trials before it can be shown, but run {run_id} of experiment "
            f"{name!r} has no artifact {schema.PLAN_ARTIFACT}; run the study until its trials begin"
        )
    plan, metrics, prefix = plans[0], study_run.data.metrics, schema.STAGE_SECONDS_PREFIX
    pairs = dict.fromkeys((cell.target, cell.method) for cell in plan.cells)
    selections = [f"{schema.SELECTIONS_FOLDER}/{target}/{method}.json" for target, method in pairs]
    cells = _cells(experiment, plan, with_trials=with_trials)
    return ShownStudy(
        name=name,
        experiment_id=experiment.experiment_id,
        run_id=run_id,
        tracking_uri=without_password(tracking_uri),
        is_finished=study_run.info.status == "FINISHED",
        backbone=plan.backbone,
        settings=plan.settings,
        targets=plan.targets,
        methods=plan.methods,
        cells=read_curves(experiment, cells) if with_curves else cells,
        selections=tuple(experiment.records(run_id, SelectionRecord, selections)),
        stage_seconds={key.removeprefix(prefix): seconds for key, seconds in metrics.items() if key.startswith(prefix)},
        models=json.loads(study_run.data.tags.get(schema.TAG_MODELS, "{}")),
        model_refits=json.loads(study_run.data.tags.get(schema.TAG_MODEL_REFITS, "{}")),
        audits=_audits(experiment, run_id, plan),
        verdict=_verdict(experiment, run_id, plan),
        label_curves=_label_curves(experiment, run_id, plan),
        views=tuple(views),
    )


def _verdict(experiment: MlflowExperiment, run_id: str, plan: PlanRecord) -> VerdictRecord | None:
    repeats = plan.settings.get("repeats")
    if not isinstance(repeats, dict) or repeats.get("draws", 1) < 2:
        return None  # one among the artifacts belongs to an earlier plan
    return next(iter(experiment.records(run_id, VerdictRecord, [schema.VERDICT_ARTIFACT])), None)


def _label_curves(experiment: MlflowExperiment, run_id: str, plan: PlanRecord) -> tuple[LabelCurve, ...]:
    cells = {(cell.target, cell.method) for cell in plan.cells}  # a curve of another one belongs to an earlier plan
    records = experiment.records(run_id, LabelCurves, [schema.LABEL_CURVES_ARTIFACT])
    return tuple(curve for record in records for curve in record.curves if (curve.target, curve.method) in cells)


def _audits(experiment: MlflowExperiment, run_id: str, plan: PlanRecord) -> tuple[AuditRecord, ...]:
    settings = plan.settings.get("audit")
    if not isinstance(settings, dict) or not settings.get("enabled"):
        return ()  # audits among the artifacts belong to an earlier plan
    paths = [f"{schema.AUDITS_FOLDER}/{target.name}-{side}.json" for target in plan.targets for side in AUDIT_SIDES]
    return tuple(experiment.records(run_id, AuditRecord, paths))


def _cells(experiment: MlflowExperiment, plan: PlanRecord, *, with_trials: bool) -> tuple[CellRecord, ...]:
    tags_and_runs = [(run.data.tags, run) for run in experiment.runs(schema.KIND_CELL)]
    runs = {(tags.get(schema.TAG_TARGET), tags.get(schema.TAG_METHOD)): run for tags, run in tags_and_runs}
    if with_trials:
        of_trials = experiment.runs(schema.KIND_TRIAL)
    else:  # the chosen trials hold the best configurations
        keys = {
            value for tags, _ in tags_and_runs for tag, value in tags.items() if tag.startswith(schema.TAG_BEST_KEY)
        }
        of_trials = [run for key in sorted(keys) for run in experiment.runs(schema.KIND_TRIAL, key=key)]
    trials = _by_key(of_trials, "trial", plan)
    refits = _by_key(experiment.runs(schema.KIND_REFIT), "refit", plan)
    planned: dict[tuple[str, str], list[PlannedCell]] = {}
    for cell in plan.cells:
        planned.setdefault((cell.target, cell.method), []).append(cell)
    cells = [_cell(repeats, runs.get(pair), trials, refits) for pair, repeats in planned.items()]
    return tuple(cells if with_trials else (replace(cell, trials=()) for cell in cells))


def _cell(
    repeats: Sequence[PlannedCell],
    run: Run | None,
    trials: Mapping[str, TrialRecord],
    refits: Mapping[str, TrialRecord],
) -> CellRecord:
    tags, metrics = (run.data.tags, run.data.metrics) if run else ({}, {})
    # The summary of an earlier plan does not count: its best configuration may not be in this plan.
    # A repeat may take what the first one chose.
    current = [each for each in repeats if _is_current(each.repeat, {*each.trial_keys, *repeats[0].trial_keys}, tags)]
    choices = tuple(_choice(each, tags, trials) for each in current)
    own_refits = tuple(_refits(schema.TAG_REFIT_KEYS, current, tags, refits))
    num_tested = sum(refit.score is not None for refit in own_refits)
    return CellRecord(
        target=repeats[0].target,
        method=repeats[0].method,
        run_id=str(run.info.run_id) if run else None,
        num_planned=sum(each.num_trials for each in repeats),
        trials=tuple(
            replace(trials[key], repeat=each.repeat) for each in repeats for key in each.trial_keys if key in trials
        ),
        best=choices[0].hyperparameters if choices else None,
        best_val_score=metrics.get(schema.BEST_VAL_SCORE) if current else None,
        refits=own_refits,
        # MLflow keeps the test scores of an earlier best configuration until the new one is tested.
        test_mean=metrics.get(schema.TEST_MEAN) if num_tested else None,
        test_ci95=metrics.get(schema.TEST_CI95) if num_tested >= LEAST_VALUES else None,
        refits_with_leaks=tuple(_refits(schema.TAG_REFIT_KEYS_WITH_LEAKS, current, tags, refits)),
        choices=choices,
    )


def _is_current(repeat: int, trial_keys: Collection[str], tags: Mapping[str, str]) -> bool:
    best, best_key = (schema.of_repeat(tag, repeat) for tag in (schema.TAG_BEST, schema.TAG_BEST_KEY))
    return best in tags and tags.get(best_key, "") in ("", *trial_keys)


def _refits(
    tag: str, cells: Sequence[PlannedCell], tags: Mapping[str, str], refits: Mapping[str, TrialRecord]
) -> Iterator[TrialRecord]:
    for cell in cells:
        for key in json.loads(tags.get(schema.of_repeat(tag, cell.repeat), "[]")):
            if key in refits:
                yield replace(refits[key], repeat=cell.repeat)


def _choice(cell: PlannedCell, tags: Mapping[str, str], trials: Mapping[str, TrialRecord]) -> ChoiceRecord:
    """Return the chosen point as its trial has it: the cell's own copy may be from an earlier plan's grid."""
    trial = trials.get(tags.get(schema.of_repeat(schema.TAG_BEST_KEY, cell.repeat), ""))
    if trial is not None:
        return ChoiceRecord(cell.repeat, trial.hyperparameters, trial.score, trial.temperature)
    copied: dict[str, float] = json.loads(tags[schema.of_repeat(schema.TAG_BEST, cell.repeat)])
    return ChoiceRecord(cell.repeat, copied, None)


def _by_key(runs: Iterable[Run], kind: Literal["trial", "refit"], plan: PlanRecord) -> dict[str, TrialRecord]:
    found: dict[str, TrialRecord] = {}
    for record in (_trial(run, kind, plan) for run in runs):
        if record.key not in found or found[record.key].state not in ("finished", "diverged", "stopped"):
            found[record.key] = record
    return found


def _trial(run: Run, kind: Literal["trial", "refit"], plan: PlanRecord) -> TrialRecord:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    state = _state(str(run.info.status), tags.get(schema.TAG_OUTCOME))
    score = metrics.get(schema.VAL_SCORE if kind == "trial" else schema.TEST_SCORE)
    # MLflow keeps the message of a failed attempt. Of a finished trial only a remark counts: it ran in smaller parts.
    is_outdated = state == "running" or (state == "finished" and metrics.get(schema.NUM_PARTS, 1.0) <= 1)
    return TrialRecord(
        key=tags.get(schema.TAG_KEY, ""),
        run_id=str(run.info.run_id),
        kind=kind,
        state=state,
        hyperparameters=grid_point(params, plan.hyperparameters, plan.top_ks),
        seed=int(params.get("seed", 0)),
        score=_finite(score) if state == "finished" else None,
        seconds=metrics.get(schema.SECONDS, 0.0),
        message="" if is_outdated else tags.get(schema.TAG_MESSAGE, ""),
        failure=tags.get(schema.TAG_FAILURE, "") if state == "failed" else "",
        interruptions=json.loads(tags.get(schema.TAG_INTERRUPTIONS, "{}")),
        stopped_epoch=int(metrics.get(schema.STOPPED_EPOCH, 0)) if state == "stopped" else None,
        stopped_score=_finite(score) if state == "stopped" else None,
        attempts=_attempts(run),
        further_scores=_further_scores(metrics, schema.SPLIT_PREFIX[kind]) if state == "finished" else {},
        predictions=_predictions(run),
        temperature=metrics.get(schema.TEMPERATURE),
        curve=tuple((int(epoch), float(score)) for epoch, score in json.loads(tags.get(schema.TAG_CURVE, "[]"))),
    )


def _predictions(run: Run) -> str:
    tags = run.data.tags
    if schema.TAG_PREDICTIONS not in tags:
        return ""
    return f"runs:/{run.info.run_id}/{PREDICTIONS}/{predictions_name(tags.get(schema.TAG_KEY, ''))}"


def _further_scores(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    of_split = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
    return {name: value for name, value in of_split.items() if name not in schema.RESERVED_NAMES}


def _attempts(run: Run) -> tuple[Attempt, ...]:
    """Read the worker and times of a run's attempts. An earlier version recorded only the first start and last end."""
    recorded = json.loads(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))
    if recorded:
        return tuple(Attempt(*each) for each in recorded)
    start_ms, end_ms = run.info.start_time, run.info.end_time
    if not start_ms or not end_ms:
        return (Attempt("", int(start_ms), None),) if start_ms else ()
    # Such a run may have waited for hours between the two, so the seconds of training before its end are taken.
    worked_ms = round(1000 * run.data.metrics.get(schema.SECONDS, 0.0)) or end_ms - start_ms
    return (Attempt("", int(max(start_ms, end_ms - worked_ms)), int(end_ms)),)


def _state(status: str, outcome: str | None) -> TrialState:
    if outcome == "diverged":
        return "diverged"
    if outcome == "finished":
        return "finished"
    if outcome == "stopped" and status == "FINISHED":  # otherwise it runs again, to its last epoch
        return "stopped"
    return "failed" if status == "FAILED" else "running"


def _finite(score: Any) -> float | None:
    return None if score is None or not math.isfinite(score) else float(score)


def grid_point(params: Mapping[str, str], names: Sequence[str], top_ks: Sequence[int]) -> dict[str, float]:
    """Read the hyperparameters of a trial or refit from the parameters of its MLflow run.

    The result has those of the `names` that the run has. `top_ks` are the numbers of selected units in the present
    plan's grid; empty if it does not vary them.

    >>> params = {"lr": "0.1", "selection.top_k": "100", "selection.num_selected": "100"}
    >>> grid_point(params, ["lr"], ()), grid_point(params, ["lr"], (50, 100))
    ({'lr': 0.1}, {'lr': 0.1, 'top_k': 100})
    """
    point = {
        name: read_number(params[name]) for name in names if name != TOP_K.name and params.get(name, "None") != "None"
    }
    if not top_ks or "selection.num_selected" not in params:
        return point
    # `top_k` is not part of a trial's key: the selected images are. The run may come from another grid, so the number
    # of units that it reused decides. If several `top_k` give the same images, it is the first one, as in the plan.
    num_selected = int(params["selection.num_selected"])
    asked = int(params.get("selection.top_k", num_selected))
    has_all_units = asked > num_selected or num_selected not in top_ks  # then every larger top_k gives the same images
    top_k = next((k for k in top_ks if k == num_selected or (has_all_units and k > num_selected)), None)
    return point if top_k is None else point | {"top_k": top_k}


def read_curves(experiment: MlflowExperiment, cells: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
    """Read the curves of shown trials that did not record one at their end, up to MAX_REQUESTS, running ones first.

    An attempt without an end (its trial runs, or its process was lost) gets the time of its last epoch as its end.

    Raises:
      DashboardError: the store does not answer.
    """
    shown = [trial for cell in cells for trial in trials_to_follow(cell)]
    to_read = [trial for trial in shown if trial.state == "running"]
    to_read += [trial for trial in shown if trial.state != "running" and not trial.curve]
    histories = experiment.histories([trial.run_id for trial in to_read[:MAX_REQUESTS]], schema.VAL_SCORE)
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
