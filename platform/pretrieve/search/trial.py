"""Running one trial or refit: a plain function, called by a Ray worker and by tests alike."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import torch

from pretrieve.backbones import Backbone, find_architecture
from pretrieve.backbones.backbone import save_weights
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import derived_seed
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Outcome, Spool
from pretrieve.training.checkpoint import CheckpointFile
from pretrieve.training.evaluation import accuracy, predict
from pretrieve.training.loop import DivergedError, EpochReport, FineTuning, fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import make_objective
from pretrieve.training.trial_spec import TrialTask


def run_trial(task: TrialTask, *, report: Callable[[dict[str, float]], None]) -> Outcome:
    """Train, score and record one trial, from its checkpoint where it was begun before.

    A trial scores val after each epoch; a refit scores test once, at its end.

    Args:
      task: what to run and where its inputs lie.
      report: called after each epoch with its metrics, for whoever watches.

    Returns:
      `finished`; `diverged` where the loss was not finite; `failed` where the program raised: the error is in the
      spool, so that one trial's fault ends that trial only.
    """
    torch.set_num_threads(task.num_threads)
    started = time.perf_counter()
    spool = Spool(task.spool_path)
    if spool.outcome in ("finished", "diverged"):
        return spool.outcome  # it ended just before its driver was killed: delivered it is not, done it is
    checkpoint = CheckpointFile(task.checkpoint_path)
    outcome: Outcome = "finished"
    try:
        metrics = _train_and_score(task, spool, checkpoint, report)
        message = ""
    except DivergedError as error:
        metrics, outcome, message = {}, "diverged", str(error)
    except Exception:  # whatever the user's code or the machine did: it is recorded, and the study goes on
        spool.write_end("failed", {}, traceback.format_exc())
        return "failed"
    spool.write_end(outcome, {**metrics, schema.SECONDS: time.perf_counter() - started}, message)
    checkpoint.remove()
    return outcome


def _train_and_score(
    task: TrialTask, spool: Spool, checkpoint: CheckpointFile, report: Callable[[dict[str, float]], None]
) -> dict[str, float]:
    work = _make_work(task)
    evaluate = CachedImages(task.evaluate)
    is_refit = task.spec.kind == schema.KIND_REFIT

    def score() -> float:
        predictions = predict(work.network, evaluate, work.preprocessing, work.device)
        return accuracy(predictions, evaluate.labels, task.metric)

    def on_epoch(epoch: EpochReport) -> None:
        metrics = _epoch_metrics(epoch)
        if not is_refit:
            metrics[schema.VAL_SCORE] = score()
        spool.write_epoch(epoch.epoch, metrics)
        report({"epoch": float(epoch.epoch), **metrics})

    fine_tune(work, on_epoch=on_epoch, checkpoint=checkpoint)
    if not is_refit:
        return {}
    assert task.weights_out is not None, "the plan gives every refit a place for its weights"
    save_weights(work.network, task.weights_out)
    return {schema.TEST_SCORE: score()}


def _epoch_metrics(epoch: EpochReport) -> dict[str, float]:
    metrics = {schema.LOSS_TARGET: epoch.loss_target, schema.IMAGES_PER_S: epoch.images_per_s}
    if epoch.loss_source is not None:
        metrics[schema.LOSS_SOURCE] = epoch.loss_source
    return metrics


def _make_work(task: TrialTask) -> FineTuning:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    architecture = find_architecture(task.architecture_name)
    spec = task.spec
    network = TwoHeadNetwork(
        Backbone(task.architecture_name, task.weights_path, task.backbone_identity).load(),
        feature_dim=architecture.feature_dim,
        num_target_classes=task.num_target_classes,
        num_source_classes=task.num_source_classes,
        generator=torch.Generator().manual_seed(derived_seed(spec.seed, "heads")),
    ).to(device)
    return FineTuning(
        network=network,
        objective=make_objective(spec.objective, spec.hyperparameters),
        target=CachedImages(task.train),
        source=CachedImages(task.source) if task.source else None,
        preprocessing=architecture.preprocessing,
        settings=task.training,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        device=device,
    )
