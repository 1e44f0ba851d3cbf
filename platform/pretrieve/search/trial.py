"""Running one trial or refit: a plain function, called by a Ray worker and by tests alike."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch

from pretrieve.backbones import Backbone
from pretrieve.backbones.backbone import save_weights
from pretrieve.full_disk import is_disk_full
from pretrieve.image_cache.local_copy import local_copy
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import derived_seed
from pretrieve.search.heartbeat import Heartbeat
from pretrieve.search.retries import kind_of_error
from pretrieve.search.room import Room
from pretrieve.search.smaller_parts import is_out_of_memory, with_smaller_parts
from pretrieve.tracking import schema
from pretrieve.tracking.spool import RESULTS, Outcome, Spool, this_worker
from pretrieve.training.checkpoint import CheckpointFile
from pretrieve.training.evaluation import accuracy, predict
from pretrieve.training.gap_probe import GapProbe
from pretrieve.training.gradient_gap import GradientGap
from pretrieve.training.loop import DivergedError, EpochReport, FineTuning, fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Relationship, find_objective, make_objective
from pretrieve.training.trial_spec import TrialTask
from pretrieve.training.world import ALONE, World


def run_trial(task: TrialTask, *, report: Callable[[dict[str, float]], None]) -> Outcome:
    """Train, score and record one trial, from its checkpoint where it was begun before.

    A trial scores val after each epoch; a refit scores test once, at its end. Where a step does not fit into the
    device's memory it is computed in parts, which the record tells, since batch norm then sees smaller batches.

    Args:
      task: what to run and where its inputs lie.
      report: called after each epoch with its metrics, for whoever watches.

    Returns:
      `finished`; `diverged` where the loss was not finite; `failed` where the program raised: the error is in the
      spool, so that one trial's fault ends that trial only.

    Raises:
      OSError: a disk that the trial does not wait for is full, such as that of the node's local copies.
    """
    spool = Spool(task.spool_path)
    if spool.outcome in RESULTS:
        return spool.outcome  # it ended just before its driver was killed: delivered it is not, done it is
    try:
        return _run_within_memory(task, spool, report)
    except Exception as error:  # whatever the user's code or the machine did: it is recorded, and the study goes on
        if is_disk_full(error):
            raise  # there may be room when it is tried again
        spool.write_end("failed", {}, traceback.format_exc(), failure=kind_of_error(error))
        return "failed"


def _run_within_memory(task: TrialTask, spool: Spool, report: Callable[[dict[str, float]], None]) -> Outcome:
    while True:
        try:
            return run_worker(task, ALONE, spool, Room(Heartbeat(task.spool_path), report), report)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            smaller = with_smaller_parts(task) if is_out_of_memory(error) else None
            if smaller is None:
                raise
        # Outside the except block, whose traceback holds the tensors of the step that did not fit.
        task = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def run_worker(
    task: TrialTask, world: World, spool: Spool | None, room: Room, report: Callable[[dict[str, float]], None]
) -> Outcome:
    """Train and score one trial as one of its workers.

    Args:
      task: what to run.
      world: which worker this is.
      spool: of the first worker, which alone scores and records; None for any other.
      room: its writes, which wait while the disk is full.
      report: called by every worker after each epoch, by those that record nothing with epoch and seconds alone. It
        does not return where the search stops the trial.

    Returns:
      `finished` or `diverged`.

    Raises:
      Exception: whatever ended the training.
    """
    torch.set_num_threads(task.num_threads)
    started = time.perf_counter()
    if spool is not None:
        room.write(partial(spool.write_start, this_worker()))
    checkpoint = CheckpointFile(task.checkpoint_path, room.write)
    outcome: Outcome = "finished"

    def timed_report(metrics: dict[str, float]) -> None:
        report({**metrics, schema.SECONDS: time.perf_counter() - started})

    try:
        with _beating(task, spool) as beat:
            metrics = _train_and_score(task, world, spool, room, checkpoint, timed_report, beat)
        message = _told_of_parts(task)
    except DivergedError as error:
        metrics, outcome, message = {}, "diverged", str(error)
    if spool is not None:
        metrics = {**metrics, schema.SECONDS: time.perf_counter() - started}
        room.write(partial(spool.write_end, outcome, metrics, message))
        checkpoint.remove()
    return outcome


def _beating(task: TrialTask, spool: Spool | None) -> AbstractContextManager[Callable[[], None]]:
    """Give a sign of life at each step, of the first worker of a trial."""
    return nullcontext(lambda: None) if spool is None else Heartbeat(task.spool_path).beating(task.max_silence_s)


def _told_of_parts(task: TrialTask) -> str:
    if task.num_parts == 1:
        return ""
    return (
        f"a step did not fit into the device's memory: it was computed in {task.num_parts} parts, and batch norm saw "
        "one part at a time"
    )


def _train_and_score(
    task: TrialTask,
    world: World,
    spool: Spool | None,
    room: Room,
    checkpoint: CheckpointFile,
    report: Callable[[dict[str, float]], None],
    beat: Callable[[], None],
) -> dict[str, float]:
    work = _make_work(task, world, beat)
    evaluate = CachedImages(local_copy(task.evaluate, task.image_scratch, beat))
    is_refit = task.spec.kind == schema.KIND_REFIT
    measures_gap = task.training.gradient_gap and work.objective.uses_source and not is_refit
    probe = GapProbe(work, evaluate) if measures_gap else None

    def score() -> float:
        predictions = predict(work.network, evaluate, work.preprocessing, work.device, beat)
        return accuracy(predictions, evaluate.labels, task.metric)

    def on_epoch(epoch: EpochReport) -> None:
        if spool is None:
            report({"epoch": float(epoch.epoch)})
            return
        metrics = _epoch_metrics(epoch, task) | ({} if probe is None else _gap_metrics(probe.measure()))
        if not is_refit:
            metrics[schema.VAL_SCORE] = score()
        room.write(partial(spool.write_epoch, epoch.epoch, metrics))
        report({"epoch": float(epoch.epoch), **metrics})

    fine_tune(work, on_epoch=on_epoch, on_step=beat, checkpoint=checkpoint)
    if not is_refit or spool is None:
        return {}
    assert task.weights_out is not None, "the plan gives every refit a place for its weights"
    room.write(partial(save_weights, work.network, task.weights_out))
    return {schema.TEST_SCORE: score()}


def _epoch_metrics(epoch: EpochReport, task: TrialTask) -> dict[str, float]:
    metrics = {
        schema.LOSS_TARGET: epoch.loss_target,
        schema.IMAGES_PER_S: epoch.images_per_s,
        schema.INPUT_WAIT_FRACTION: epoch.input_wait_fraction,
        schema.FORWARD_FRACTION: epoch.forward_fraction,
        schema.BACKWARD_FRACTION: epoch.backward_fraction,
    }
    if torch.cuda.is_available():
        metrics[schema.GPU_MEMORY_GB] = torch.cuda.max_memory_allocated() / 1e9
    if epoch.loss_source is not None:
        metrics[schema.LOSS_SOURCE] = epoch.loss_source
    if task.num_parts > 1:
        metrics[schema.NUM_PARTS] = float(task.num_parts)
    return metrics


def _gap_metrics(gap: GradientGap) -> dict[str, float]:
    return {
        schema.GRADIENT_GAP: gap.delta_squared,
        schema.GRADIENT_GAP_COSINE: gap.cosine,
        schema.TARGET_GRADIENT_NORM: gap.target_norm_squared,
        schema.SOURCE_GRADIENT_NORM: gap.source_norm_squared,
    }


def _make_work(task: TrialTask, world: World, beat: Callable[[], None]) -> FineTuning:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        # The process may have run other trials before; the peak that this one tells is to be its own.
        torch.cuda.reset_peak_memory_stats()
    backbone = Backbone(task.architecture_name, task.weights_path, task.backbone_identity)
    spec = task.spec
    is_related = find_objective(spec.objective).uses_relationship
    network = TwoHeadNetwork(
        backbone.load(),
        feature_dim=backbone.architecture.feature_dim,
        num_target_classes=task.num_target_classes,
        num_source_classes=task.num_source_classes,
        source_classifier=backbone.load_classifier() if is_related else None,
        generator=torch.Generator().manual_seed(derived_seed(spec.seed, "heads")),
    ).to(device)
    return FineTuning(
        network=network,
        objective=make_objective(spec.objective, spec.hyperparameters, relationship=_relationship(task)),
        target=CachedImages(local_copy(task.train, task.image_scratch, beat)),
        source=CachedImages(local_copy(task.source, task.image_scratch, beat)) if task.source else None,
        preprocessing=backbone.architecture.preprocessing,
        settings=task.training,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        device=device,
        num_parts=task.num_parts,
        world=world,
    )


def _relationship(task: TrialTask) -> Relationship | None:
    return None if task.relationship_path is None else np.load(task.relationship_path, allow_pickle=False)
