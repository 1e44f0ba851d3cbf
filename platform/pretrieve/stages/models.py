"""Stage: the best model of each target, registered with MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import ray

from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.cluster import causes_of_task_errors
from pretrieve.errors import BackboneError
from pretrieve.execution.trial import run_trial
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.champion import choose_champions, has_score
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.packing import PackingStage
from pretrieve.stages.repeats import RepeatsStage
from pretrieve.stages.study_cells import CellResult
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import latest_end, read_spool

MODEL_S = 2.0
"""Seconds to export the best model of a target and to register it with MLflow."""


class ModelsStage(Stage[Mapping[str, str]]):
    """Registers the best model of each target; returns their URIs by target."""

    name = "models"
    place = 110
    is_shared = True

    def load(self, context: Context) -> Mapping[str, str] | None:
        """Return None, so that `make` runs each time; it does not register an existing model again."""
        return None

    def make(self, context: Context) -> Mapping[str, str]:
        """Register a refit of each target's champion; a notice names one whose network torch cannot export.

        Raises:
          LedgerError: MLflow does not answer.
        """
        from pretrieve.tracking.champions import Champion, register_champion

        ledger, targets = context.ledger, context.get(ImageSetsStage).targets
        repeats = context.get(RepeatsStage)
        winners = choose_champions(repeats, ledger, context.settings.method)
        models: dict[str, str] = {}
        refits: dict[str, str] = {}
        with context.clock.stage(self.name, total=len(winners)) as progressed:
            for target, result in winners.items():
                model_name = f"{context.settings.name}.{target}"
                refit = _refit_with_weights(context, result, model_name)
                if refit is None or refit.weights_out is None:
                    continue
                champion = Champion(
                    model_name=model_name,
                    key=refit.spec.key,
                    run_id=ledger.run_id(refit.spec.key),
                    weights_path=refit.weights_out,
                    architecture_name=refit.architecture_name,
                    class_names=targets[target].class_names,
                    description=f"{refit.spec.method}, the simplest method within one standard error of the best on "
                    f"validation of {target}: {refit.spec.describe()}",
                    temperature=_temperature(ledger, result),
                )
                try:
                    models[target] = ledger.persist(partial(register_champion, champion, ledger.tree))
                except BackboneError as error:
                    context.clock.notice(f"no model is registered for {target}: {error}")
                    continue
                refits[target] = refit.spec.key
                progressed(len(models), len(winners))
        tags = {schema.TAG_MODELS: json.dumps(models), schema.TAG_MODEL_REFITS: json.dumps(refits)}
        ledger.record_study(metrics={}, tags=tags, artifacts=[])
        return models

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        number = len(context.settings.targets)
        return StageForecast(self.name, MODEL_S * number, f"{number} models", disk_bytes=measured.weight_bytes * number)


def _temperature(ledger: Ledger, result: CellResult) -> float | None:
    """Return the temperature of what a cell chose, from the images that its folds held out; None without folds."""
    found = [] if result.best is None else ledger.scores(result.best.spec.key, schema.TEMPERATURE)
    return found[-1][1] if found else None


def _refit_with_weights(context: Context, result: CellResult, model_name: str) -> TrialTask | None:
    """Return a refit with a test score whose weights are in the study's folder, registered, or trained again."""
    from pretrieve.tracking.champions import is_champion

    ledger = context.ledger
    tested = [task for task in result.refits if has_score(task.spec.key, ledger.finished)]
    kept = [task for task in tested if task.weights_out is not None and is_kept(task.weights_out)]
    if kept:
        return kept[0]
    if ledger.persist(partial(is_champion, model_name, tested[0].spec.key, ledger.tree)):
        return tested[0]
    context.clock.notice(
        f"the weights of the refits of {tested[0].spec.target} · {tested[0].spec.method} are gone or damaged: the "
        "first one is trained again"
    )
    return tested[0] if _is_trained_again(context, tested[0]) else None


def _is_trained_again(context: Context, task: TrialTask) -> bool:
    """Train a finished refit again for its weights; send a notice where its score differs from the recorded one."""
    resources, score = context.get(PackingStage), context.ledger.finished[task.spec.key].score
    with TemporaryDirectory(dir=context.settings.folder, prefix="tune-") as scratch:
        paths = {name: Path(scratch) / getattr(task, name).name for name in ("spool_path", "checkpoint_path")}
        # The predictions on record stay: these may be other weights.
        elsewhere = {"out": Path(scratch) / "predictions"}
        predictions = task.predictions and task.predictions.model_copy(update=elsewhere)
        again = task.model_copy(update={**paths, "predictions": predictions, "num_workers": 1})
        run = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(_train)
        with causes_of_task_errors():
            found = ray.get(run.remote(again))
    if found == score:
        return True
    context.clock.notice(
        f"no model is registered for {task.spec.target}: trained again, its test score is {found}, not {score} as "
        "recorded, so these are other weights; another machine, or several workers, may be why"
    )
    if task.weights_out is not None:
        task.weights_out.unlink(missing_ok=True)
    return False


def _train(task: TrialTask) -> float | None:
    """Train a refit in this process; return its test score."""
    run_trial(task, report=lambda metrics: None)
    end = latest_end(read_spool(task.spool_path))
    return None if end is None else end.metrics.get(schema.TEST_SCORE)
