"""The batches of each step, prepared by a separate thread while the network trains.

Which images a step sees, and in which views, is a function of seed and step. So a resumed trial needs no saved state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed
from pretrieve.training.augmentation.crops import Crops, draw_crops
from pretrieve.training.augmentation.mixing import mix_between, mix_within
from pretrieve.training.augmentation.views import StrongDraws, draw_strong_view, strong_view, weak_view
from pretrieve.training.fine_tuning import FineTuning, LabelledImages
from pretrieve.training.label_weights import class_weights, label_weights
from pretrieve.training.objectives import Batch

NUM_STEPS_AHEAD = 2
"""One step's batches are ready while the next step's are being made. More steps would only use memory."""

StepPart = tuple[Batch, Batch | None]
"""The input of one forward pass: a target batch, and a source batch where the objective uses one."""


@dataclass(frozen=True)
class _StoredBatch:
    """One process's images of a step as stored, with the random draws of their views.

    Images are (B, R, R, 3) uint8, page-locked if a GPU will read them; labels are (B,) int64. Every stream has a weak
    view, and only the source of eq. 7 a strong one.
    """

    images: Tensor
    labels: Tensor
    weak: Crops
    strong: StrongDraws | None


_StoredStep = tuple[int, _StoredBatch, _StoredBatch | None]


def _limit_to_one_thread(pool: ThreadPoolExecutor) -> None:
    """Make the pool's only thread compute single-threaded, without changing the number of threads of this one.

    Otherwise two teams of threads would compete for the cores, which slows training on two cores by a fifth.
    """

    def limit() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()

    # A thread keeps its own number from the first query on; before that it has whatever any thread set last.
    num_threads = torch.get_num_threads()
    pool.submit(limit).result()
    torch.set_num_threads(num_threads)


def target_batch(num_images: int, *, batch_size: int, seed: int, step: int) -> Tensor:
    """Return one step's (batch_size,) int64 rows, in [0, num_images): whole batches of passes over the target.

    Each pass is in a new order, and its last partial batch is dropped; `batch_size` is at most `num_images`.
    """
    number, place = divmod(step, num_images // batch_size)
    order = _target_pass(num_images, derived_seed(seed, "target_epoch", number))
    return order[place * batch_size : (place + 1) * batch_size]


def balanced_batch(labels: Tensor, *, batch_size: int, seed: int, step: int) -> Tensor:
    """Return the (batch_size,) int64 rows of one step that samples balanced classes, among the (N,) labels.

    Each is drawn for itself: its class uniformly among those with images, then one of that class's images uniformly. So
    a pass may lack an image, or have it more than once.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, "balanced_step", step))
    weights = 1 / torch.bincount(labels)[labels].double()
    return torch.multinomial(weights, batch_size, replacement=True, generator=generator)


def source_batch(num_images: int, *, batch_size: int, seed: int, step: int) -> Tensor:
    """Return one step's (batch_size,) int64 rows, in [0, num_images), of the endless source stream.

    The stream consists of whole passes over the source, each in a new order, laid end to end. Step s takes positions
    [s·B, (s+1)·B), so a batch may run into the next pass.
    """
    start = step * batch_size
    parts = []
    while start < (step + 1) * batch_size:
        number, offset = divmod(start, num_images)
        order = _source_pass(num_images, derived_seed(seed, "source_pass", number))
        part = order[offset : offset + (step + 1) * batch_size - start]
        parts.append(part)
        start += len(part)
    return torch.cat(parts)


def _permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


# One pass serves many steps. Two are cached for the batch that runs from one pass into the next.
_source_pass = lru_cache(maxsize=2)(_permutation)
_target_pass = lru_cache(maxsize=1)(_permutation)


class EpochInputs:
    """The inputs of one epoch's steps: for each step, the parts that pass through the network one after the other.

    All random numbers are drawn for the whole batch, in the order of the steps; each process then takes its own rows.
    So the number of processes and of parts does not change any view. Only mixing pairs the images that one process has.
    `epoch` counts from 0.
    """

    def __init__(self, work: FineTuning, epoch: int) -> None:
        self._work = work
        self._steps = work.length.steps(epoch)
        self._generator = torch.Generator().manual_seed(derived_seed(work.seed, "augmentation", epoch))
        is_weighted = work.settings.class_balance == "loss"
        self._class_weights = class_weights(work.target.labels).to(work.device) if is_weighted else None
        self._is_on_gpu = work.device.type == "cuda"

    def __iter__(self) -> Iterator[list[StepPart]]:
        """Yield the steps in order; a thread that ends with the iteration prepares them ahead."""

        def prepare(step: int) -> list[StepPart] | _StoredStep:
            # A GPU computes the views itself, queued behind the previous step's kernels; on a CPU the thread does.
            stored = self._stored_step(step)
            return stored if self._is_on_gpu else self._parts(stored)

        with ThreadPoolExecutor(1, thread_name_prefix="step-inputs") as thread:
            _limit_to_one_thread(thread)
            waiting: deque[Future[list[StepPart] | _StoredStep]] = deque()
            try:
                for number in range(len(self._steps) + NUM_STEPS_AHEAD):
                    if number < len(self._steps):
                        waiting.append(thread.submit(prepare, self._steps[number]))
                    if number >= NUM_STEPS_AHEAD:
                        ready = waiting.popleft().result()
                        yield ready if isinstance(ready, list) else self._parts(ready)
            finally:
                thread.shutdown(cancel_futures=True)

    def _stored_step(self, step: int) -> _StoredStep:
        work, size = self._work, self._work.batch_size
        if work.settings.class_balance == "sampling":
            rows = balanced_batch(work.target.labels, batch_size=size, seed=work.seed, step=step)
        else:
            rows = target_batch(len(work.target), batch_size=size, seed=work.seed, step=step)
        target = self._stored_batch(work.target, rows)
        if work.source is None:
            return step, target, None
        rows = source_batch(len(work.source), batch_size=work.source_batch_size, seed=work.seed, step=step)
        return step, target, self._stored_batch(work.source, rows, is_strong=work.objective.uses_strong_view)

    def _stored_batch(self, images: LabelledImages, rows: Tensor, *, is_strong: bool = False) -> _StoredBatch:
        mine = self._work.process_group.part(len(rows))
        stored = images.gather(rows[mine])
        settings, side, aspect = self._work.settings.augmentation, stored.shape[1], images.aspects[rows]
        weak = draw_crops(aspect, side=side, settings=settings, generator=self._generator)
        strong = None
        if is_strong:
            strong = draw_strong_view(aspect, side=side, settings=settings, generator=self._generator)[mine]
        return _StoredBatch(
            stored.pin_memory() if self._is_on_gpu else stored, images.labels[rows[mine]], weak[mine], strong
        )

    def _parts(self, stored: _StoredStep) -> list[StepPart]:
        step, stored_target, stored_source = stored
        target, source = self._batch(stored_target), None if stored_source is None else self._batch(stored_source)
        target, source = self._weighted_and_mixed(target, source, step)
        parts = self._work.parts
        return [(target.part(rows), None if source is None else source.part(others)) for rows, others in parts]

    def _batch(self, stored: _StoredBatch) -> Batch:
        """Compute the views of a stored batch."""
        work, device, preprocessing = self._work, self._work.device, self._work.preprocessing
        images = stored.images.to(device, non_blocking=True)
        labels = stored.labels.to(device, non_blocking=True)
        weak = weak_view(images, stored.weak, preprocessing=preprocessing)
        strong = None
        if stored.strong is not None:
            settings = work.settings.augmentation
            strong = strong_view(images, stored.strong, preprocessing=preprocessing, settings=settings)
        return Batch(weak, labels, strong)

    def _weighted_and_mixed(self, target: Batch, source: Batch | None, step: int) -> tuple[Batch, Batch | None]:
        """Smooth and weight labels, and mix images, as the settings say; `step` counts over all epochs."""
        settings, network, seed = self._work.settings, self._work.network, self._work.seed
        mixes_source = settings.mix_source is not None and source is not None
        if not (settings.label_smoothing or settings.mix or mixes_source or self._class_weights is not None):
            return target, source
        num_classes, smoothing = network.target_head.out_features, settings.label_smoothing
        labels = label_weights(target.labels, num_classes, smoothing=smoothing, class_weights=self._class_weights)
        target = target._replace(labels=labels)
        if settings.mix:
            rng = np.random.default_rng(derived_seed(seed, "mix", step))
            target = mix_within(target, settings.mix, alpha=settings.mix_alpha, rng=rng)
        if settings.mix_source and source is not None:
            assert network.source_head is not None, "a study mixes only with a source whose labels are learned"
            source = source._replace(labels=label_weights(source.labels, network.source_head.out_features))
            rng = np.random.default_rng(derived_seed(seed, "mix_source", step))
            return mix_between(target, source, settings.mix_source, alpha=settings.mix_alpha, rng=rng)
        return target, source
