"""The loop that fine-tunes a network on a target stream and, for joint objectives, a source stream."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones.memory_format import use_fastest_format
from pretrieve.errors import DivergedError
from pretrieve.training.batch_norm import copied_statistics, set_training_mode, streams_apart
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.learning_layers import fix_layers
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, Objective, StepLoss
from pretrieve.training.schedules import Schedule
from pretrieve.training.step_inputs import EpochInputs, StepPart
from pretrieve.training.weight_average import WeightAverage

StepPartName = Literal["data", "forward", "backward"]


@dataclass(frozen=True)
class EpochReport:
    """What happened in one epoch, counted from 1.

    Attributes:
      loss_target: mean over the epoch's steps.
      loss_source: the same of the source's part, before λ; None without one.
      num_images: target and source images trained on, by all processes together.
      elapsed_s: duration of the epoch.
      part_s: seconds of it in each part of the steps: waiting for data, forward, backward with the optimizer's step.
      metrics: measurements of callbacks by name; each callback sees what earlier ones added.
    """

    epoch: int
    loss_target: float
    loss_source: float | None
    num_images: int
    elapsed_s: float
    part_s: Mapping[StepPartName, float]
    metrics: dict[str, float] = field(default_factory=dict)


EpochCallback = Callable[[EpochReport], None]
"""Called after each epoch in every process of a training, with the network in training mode, and with the averaged
weights where the settings ask for an average."""


class StepClock:
    """Adds up the time of each part of a step.

    A GPU works asynchronously, so there forward and backward are timed by its own events. Nothing waits for these
    events until `seconds` is called.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds: dict[StepPartName, float] = {"data": 0.0, "forward": 0.0, "backward": 0.0}
        self._events: list[tuple[StepPartName, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, part: StepPartName) -> Iterator[None]:
        """Add the time of the `with` block to a part."""
        if self._is_cuda and part != "data":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            yield
            end.record()
            self._events.append((part, begin, end))
            return
        started = time.perf_counter()
        yield
        self._seconds[part] += time.perf_counter() - started

    def seconds(self) -> dict[StepPartName, float]:
        """Return the time of each part so far in seconds, after waiting for the GPU if there is one."""
        if self._events:
            self._events[-1][2].synchronize()
            for part, begin, end in self._events:
                self._seconds[part] += begin.elapsed_time(end) / 1000.0
            self._events.clear()
        return dict(self._seconds)


class Checkpoint(Protocol):
    """Stores the state of a training between two epochs.

    No random state is stored: every draw is a function of seed, epoch and step, see `step_inputs`. `further` are the
    tensors by name that a training keeps beside its network and optimizer; they are restored in place.
    """

    def save(
        self,
        epochs_done: int,
        network: TwoHeadNetwork,
        optimizer: torch.optim.Optimizer,
        further: Mapping[str, Tensor],
    ) -> None:
        """Store the state after `epochs_done` epochs in place of the previous one."""

    def restore(self, network: TwoHeadNetwork, optimizer: torch.optim.Optimizer, further: Mapping[str, Tensor]) -> int:
        """Load the stored state and return its number of epochs; change nothing and return 0 if there is none."""


def fine_tune(
    work: FineTuning,
    *,
    callbacks: Sequence[EpochCallback] = (),
    on_step: Callable[[], None] = lambda: None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train `work.network` to the last epoch, from the checkpoint if there is one.

    On a CPU the same work gives bit-identical weights, whether or not it was interrupted and resumed.

    The callbacks are called after each epoch, one after the other, before its checkpoint is saved; `on_step` after each
    step. The first process saves the checkpoint, all restore it. Raises DivergedError, which names epoch, step and
    settings, if a loss, the weights or a statistic are not finite; and torch.OutOfMemoryError if a step does not fit on
    the device: then the checkpoint holds the last whole epoch. Raises UserError if the backbone does not have the
    blocks that the settings let learn, or an objective's passes do not keep its contract.
    """
    use_fastest_format(work.network.backbone, work.preprocessing.image_size)
    fix_layers(work.network.backbone, work.settings.learns)
    set_training_mode(work.network, work.settings)
    is_apart = work.settings.batch_norm == "target_only" and work.source is not None
    work.network.source_statistics = copied_statistics(work.network.backbone) if is_apart else {}
    optimizer = work.settings.build_optimizer().build(work.network, work.hyperparameters, work.settings)
    average = _average_and_clip(work, optimizer)
    further = {f"source_statistics.{name}": each for name, each in work.network.source_statistics.items()}
    further |= {f"average.{name}": each for name, each in average.state.items()} if average else {}
    schedule = work.settings.build_schedule()
    epochs_done = checkpoint.restore(work.network, optimizer, further) if checkpoint else 0
    # Not those that are infinite from the start, such as a mask.
    statistics = {name: each for name, each in work.network.named_buffers() if each.isfinite().all()}
    statistics |= work.network.source_statistics
    step_loss = _distributed(_StepLoss(work.network, work.objective), work)
    for epoch in range(epochs_done, work.length.num_epochs):
        report = _train_epoch(work, step_loss, optimizer, schedule, epoch, on_step)
        _refuse_statistics(work, statistics, epoch)
        with average.in_place() if average else nullcontext():
            for callback in callbacks:
                callback(report)
        if checkpoint and epoch + 1 < work.length.num_epochs:
            if work.process_group.is_first:
                checkpoint.save(epoch + 1, work.network, optimizer, further)
            work.process_group.wait()
    if average:
        average.exchange()


def _average_and_clip(work: FineTuning, optimizer: torch.optim.Optimizer) -> WeightAverage | None:
    """Let each step of an optimizer shorten the gradient before, and add to the average after, as the settings say."""
    settings, parameters = work.settings, list(work.network.parameters())
    max_norm = settings.max_gradient_norm
    if max_norm is not None:

        def clip(*_: object) -> None:
            nn.utils.clip_grad_norm_(parameters, max_norm)

        optimizer.register_step_pre_hook(clip)
    if settings.weight_average is None:
        return None
    average = WeightAverage(work.network, settings.weight_average)
    optimizer.register_step_post_hook(lambda *_: average.add())
    return average


class _StepLoss(nn.Module):
    """An objective and its network as one module, which distributed training requires."""

    def __init__(self, network: TwoHeadNetwork, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self._objective = objective

    def forward(self, target: Batch, source: Batch | None) -> StepLoss:
        with streams_apart(self.network, len(target.images), source):
            return self._objective.loss(self.network, target, source)


def _distributed(step_loss: _StepLoss, work: FineTuning) -> nn.Module:
    """Average gradients over the processes if there are several."""
    if work.process_group.size == 1:
        return step_loss
    if work.settings.synchronised_batch_norm and work.device.type == "cuda":
        step_loss = nn.SyncBatchNorm.convert_sync_batchnorm(step_loss)
        work.network.keep_fixed_parts()  # its batch norms are new modules now, in the modes of the old ones
    # torch warns where all parameters were used, as those of most networks are.
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    device_ids = [work.device] if work.device.type == "cuda" else None
    # A network may leave parameters out of a step, as layer drop does; one process alone takes that, so must several.
    return DistributedDataParallel(step_loss, device_ids=device_ids, find_unused_parameters=True)


def _train_epoch(
    work: FineTuning,
    step_loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    epoch: int,
    on_step: Callable[[], None],
) -> EpochReport:
    set_training_mode(work.network, work.settings)
    started, clock = time.perf_counter(), StepClock(work.device)
    losses: list[StepLoss] = []
    # Layers that draw random numbers, such as dropout, draw the same in this epoch whatever ran before it.
    with torch.random.fork_rng(devices=[work.device] if work.device.type == "cuda" else []):
        torch.manual_seed(derived_seed(work.seed, "layers", epoch, work.process_group.rank))
        inputs = iter(EpochInputs(work, epoch))
        for step in work.length.steps(epoch):
            _set_rates(optimizer, schedule, step, work)
            with clock.part("data"):
                parts = next(inputs)
            losses.append(_take_step(work, step_loss, optimizer, parts, clock))
            on_step()
    return _report(work, losses, epoch, clock=clock, started=started)


def _set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int, work: FineTuning) -> None:
    """Set the learning rates of one step, counted from 0 over all epochs."""
    factor = schedule.factor(step, work.length.num_steps, work.length.schedule_epoch, work.settings)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _take_step(
    work: FineTuning, step_loss: nn.Module, optimizer: torch.optim.Optimizer, parts: list[StepPart], clock: StepClock
) -> StepLoss:
    optimizer.zero_grad(set_to_none=True)
    losses: list[StepLoss] = []
    num_images = sum(len(target.labels) for target, _ in parts)
    for number, (target, source) in enumerate(parts):
        is_last = number == len(parts) - 1
        # A part weighs as much as its images; 1 where all have the same number.
        weight = len(parts) * len(target.labels) / num_images
        # bfloat16 has float32's range, so no loss scaling is needed; on a CPU the arithmetic stays float32.
        with (
            nullcontext() if is_last or not isinstance(step_loss, DistributedDataParallel) else step_loss.no_sync(),
            torch.autocast(work.device.type, dtype=torch.bfloat16, enabled=work.device.type == "cuda"),
        ):
            with clock.part("forward"):
                loss: StepLoss = step_loss(target, source)
            with clock.part("backward"):
                (loss.total * weight / len(parts)).backward()
        source_loss = None if loss.source is None else loss.source * weight
        losses.append(StepLoss(loss.total.detach() * weight, loss.target * weight, source_loss))
    with clock.part("backward"):
        optimizer.step()
    if len(losses) == 1:
        return losses[0]
    total, target_loss, source_loss = _stacked(losses)
    return StepLoss(total.mean(), target_loss.mean(), None if source_loss is None else source_loss.mean())


def _stacked(losses: list[StepLoss]) -> StepLoss:
    """Stack the losses of steps, or of a step's parts."""
    sources = [loss.source for loss in losses if loss.source is not None]
    return StepLoss(
        torch.stack([loss.total for loss in losses]),
        torch.stack([loss.target for loss in losses]),
        torch.stack(sources) if sources else None,
    )


def _report(work: FineTuning, losses: list[StepLoss], epoch: int, *, clock: StepClock, started: float) -> EpochReport:
    stacked, mean = _stacked(losses), work.process_group.mean
    # Read once per epoch: on a GPU, reading a loss waits for everything before it.
    _refuse_divergence(work, mean(stacked.total).cpu(), epoch)
    loss_target = float(mean(stacked.target).mean())
    loss_source = None if stacked.source is None else float(mean(stacked.source).mean())
    num_images = len(losses) * (work.batch_size + work.source_batch_size)
    part_s = clock.seconds()
    return EpochReport(epoch + 1, loss_target, loss_source, num_images, time.perf_counter() - started, part_s)


def _refuse_divergence(work: FineTuning, totals: Tensor, epoch: int) -> None:
    wrong = (~totals.isfinite()).nonzero()
    # The weights are checked too: no loss of this epoch depends on its last step.
    if len(wrong):
        step = int(wrong[0])
        fault = f"the loss must stay finite, but is {float(totals[step])} in epoch {epoch + 1}, step {step + 1}"
    elif torch.stack([~weights.detach().isfinite().all() for weights in work.network.parameters()]).any():
        fault = (
            f"the weights must stay finite, but are not after the last step of epoch {epoch + 1}, step {len(totals)}"
        )
    else:
        return
    raise _diverged(work, fault)


def _refuse_statistics(work: FineTuning, statistics: Mapping[str, Tensor], epoch: int) -> None:
    """Raise DivergedError if a statistic, such as that of a batch norm, is not finite: only predictions show it."""
    if statistics and not torch.stack([each.isfinite().all() for each in statistics.values()]).all():
        wrong = next(name for name, each in statistics.items() if not each.isfinite().all())
        raise _diverged(work, f"statistics must stay finite, but {wrong} is not after epoch {epoch + 1}")


def _diverged(work: FineTuning, fault: str) -> DivergedError:
    return DivergedError(f"{fault} ({work.hyperparameters.describe()}); try a smaller learning rate")
