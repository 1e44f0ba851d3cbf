"""Stage: the best model of each target, registered with MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pretrieve.artifacts.store import is_kept
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.refits import RefitsStage
from pretrieve.stages.trial_plan import CellResult
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration

MODEL_S = 0.5
"""Registering the best model of a target with MLflow."""


class ModelsStage(Stage[Mapping[str, str]]):
    """Registers the best model of each target; gives their URIs by target."""

    name = "models"
    place = 110

    def load(self, context: Context) -> Mapping[str, str] | None:
        """Have the models registered: what is there already is not registered again."""
        return None

    def make(self, context: Context) -> Mapping[str, str]:
        """Register a refit of each target's best method.

        Raises:
          LedgerError: MLflow does not answer.
        """
        from pretrieve.tracking.champions import Champion, register_champion

        ledger, targets = context.ledger, context.get(ImageSetsStage).targets
        winners = _winners(context.get(RefitsStage).cells, ledger.finished)
        models: dict[str, str] = {}
        with context.clock.stage(self.name, total=len(winners)) as progressed:
            for target, result in winners.items():
                refit = _usable_refit(result, ledger)
                if refit is None or refit.weights_out is None:
                    context.clock.notice(
                        f"no model is registered for {target}: the weights of its refits are gone from storage"
                    )
                    continue
                champion = Champion(
                    model_name=f"{context.settings.name}.{target}",
                    key=refit.spec.key,
                    run_id=ledger.run_id(refit.spec.key),
                    weights_path=refit.weights_out,
                    architecture_name=refit.architecture_name,
                    class_names=targets[target].class_names,
                    description=f"{refit.spec.method}, best on validation of {target}: {refit.spec.describe()}",
                )
                models[target] = register_champion(champion, ledger.tree)
                progressed(len(models), len(winners))
        ledger.record_study(metrics={}, tags={schema.TAG_MODELS: json.dumps(models)}, artifacts=[])
        return models

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        """Count the targets; a model is registered with a copy of its weights."""
        number = len(context.settings.targets)
        return StageForecast(self.name, MODEL_S * number, f"{number} models", disk_bytes=measured.weight_bytes * number)


def _winners(results: tuple[CellResult, ...], finished: Mapping[str, TrialState]) -> dict[str, CellResult]:
    """Choose each target's method on validation: choosing it on test would make the test score a lie."""
    winners: dict[str, tuple[float, CellResult]] = {}
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
    """Return the first refit with a test score whose weights are in storage, and whole."""
    finished = ledger.finished
    for task in result.refits:
        if _has_score(task, finished) and task.weights_out is not None and is_kept(task.weights_out):
            return task
    return None
