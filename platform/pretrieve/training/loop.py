"""The loop that fine-tunes a network on a target stream and, for joint objectives, a source stream."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pretrieve.backbones import Preprocessing
from pretrieve.errors import PretrieveError
from pretrieve.keys import derived_seed
from pretrieve.training.augmentation import to_unit_range, training_view
from pretrieve.training.checkpoint import CheckpointFile
from pretrieve.training.images import LabelledImages
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, Objective, StepLoss
from pretrieve.training.optimizer import make_optimizer, set_epoch_rates
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.streams import source_batch, steps_per_epoch, target_order


class DivergedError(PretrieveError):
    """The loss stopped being finite: a result of the configuration, not a fault of the program."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
      epoch: counted from 1.
      loss_target: mean over the epoch's steps.
      loss_source: the same of the source stream, before λ; None without one.
      images_per_s: target and source images trained on per second.
    """

    epoch: int
    loss_target: float
    loss_source: float | None
    images_per_s: float


@dataclass(frozen=True)
class FineTuning:
    """Everything that decides the weights at the end of a trial.

    Attributes:
      network: starts from the backbone's weights; trained in place.
      objective: how a step's loss is made.
      target: training images of the target; at least one batch.
      source: images of the selected groups; None exactly when the objective uses none.
      preprocessing: the backbone's.
      settings: the protocol shared by all trials.
      hyperparameters: the grid point.
      seed: decides order, crops and flips.
      device: where the network is.
    """

    network: TwoHeadNetwork
    objective: Objective
    target: LabelledImages
    source: LabelledImages | None
    preprocessing: Preprocessing
    settings: TrainingSettings
    hyperparameters: Hyperparameters
    seed: int
    device: torch.device

    @property
    def num_steps(self) -> int:
        """Steps of one epoch."""
        return steps_per_epoch(len(self.target), self.settings.batch_size)

    @property
    def source_batch_size(self) -> int:
        """Source images of one step; 0 without a source stream."""
        return 0 if self.source is None else self.settings.source_batch_size or self.settings.batch_size


def fine_tune(
    work: FineTuning, *, on_epoch: Callable[[EpochReport], None], checkpoint: CheckpointFile | None = None
) -> None:
    """Train `work.network` to the last epoch, from the checkpoint where there is one.

    On a CPU the same work gives the same weights to the bit, interrupted and resumed or not.

    Args:
      work: what to train on what, and how.
      on_epoch: called after each epoch, before its checkpoint is written, with the network in training mode.
      checkpoint: where the state between epochs is kept; None keeps none.

    Raises:
      DivergedError: a loss was not finite; names epoch, step and settings.
    """
    optimizer = make_optimizer(work.network, work.hyperparameters, work.settings)
    epochs_done = checkpoint.restore(work.network, optimizer) if checkpoint else 0
    for epoch in range(epochs_done, work.settings.epochs):
        set_epoch_rates(optimizer, epoch, work.settings)
        on_epoch(_train_epoch(work, optimizer, epoch))
        if checkpoint and epoch + 1 < work.settings.epochs:
            checkpoint.save(epoch + 1, work.network, optimizer)


def _train_epoch(work: FineTuning, optimizer: torch.optim.SGD, epoch: int) -> EpochReport:
    work.network.train()
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(derived_seed(work.seed, "augmentation", epoch))
    order = target_order(len(work.target), seed=work.seed, epoch=epoch)
    losses: list[StepLoss] = []
    for step in range(work.num_steps):
        rows = order[step * work.settings.batch_size : (step + 1) * work.settings.batch_size]
        target = _training_batch(work, work.target, rows, generator)
        source = _next_source_batch(work, epoch * work.num_steps + step, generator)
        loss = _take_step(work, optimizer, target, source)
        if not math.isfinite(float(loss.total.detach())):
            raise DivergedError(
                f"the loss must stay finite, but is {float(loss.total.detach())} in epoch {epoch + 1}, step {step + 1} "
                f"({work.hyperparameters.describe()}); try a smaller learning rate"
            )
        losses.append(StepLoss(loss.total.detach(), loss.target, loss.source))
    elapsed = time.perf_counter() - started
    images = work.num_steps * (work.settings.batch_size + work.source_batch_size)
    return EpochReport(
        epoch=epoch + 1,
        loss_target=float(torch.stack([loss.target for loss in losses]).mean()),
        loss_source=_mean_source_loss(losses),
        images_per_s=images / elapsed,
    )


def _take_step(work: FineTuning, optimizer: torch.optim.SGD, target: Batch, source: Batch | None) -> StepLoss:
    # bfloat16 has float32's range, so no loss scaling is needed; on a CPU the arithmetic stays float32.
    with torch.autocast(work.device.type, dtype=torch.bfloat16, enabled=work.device.type == "cuda"):
        loss = work.objective.loss(work.network, target, source)
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    optimizer.step()
    return loss


def _training_batch(work: FineTuning, images: LabelledImages, rows: torch.Tensor, generator: torch.Generator) -> Batch:
    pixels = to_unit_range(images.gather(rows), work.device)
    view = training_view(pixels, work.preprocessing, work.settings.augmentation, generator)
    return Batch(view, images.labels[rows].to(work.device))


def _next_source_batch(work: FineTuning, step: int, generator: torch.Generator) -> Batch | None:
    if work.source is None:
        return None
    rows = source_batch(len(work.source), batch_size=work.source_batch_size, seed=work.seed, step=step)
    return _training_batch(work, work.source, rows, generator)


def _mean_source_loss(losses: list[StepLoss]) -> float | None:
    parts = [loss.source for loss in losses if loss.source is not None]
    return float(torch.stack(parts).mean()) if parts else None
