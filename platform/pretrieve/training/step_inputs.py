"""The batches of each step, prepared by a separate thread while the network trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed
from pretrieve.training.augmentation import Crops, StrongDraws, draw_strong_view, draw_weak_view, strong_view, weak_view
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.images import LabelledImages
from pretrieve.training.objectives import Batch
from pretrieve.training.streams import source_batch, target_order

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


_StoredStep = tuple[_StoredBatch, _StoredBatch | None]


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


class EpochInputs:
    """The inputs of one epoch's steps: for each step, the parts that pass through the network one after the other.

    All random numbers are drawn for the whole batch, in the order of the steps; each process then takes its own rows.
    So the number of processes and of parts does not change any view. `epoch` counts from 0.
    """

    def __init__(self, work: FineTuning, epoch: int) -> None:
        self._work = work
        self._first_step = epoch * work.num_steps
        self._generator = torch.Generator().manual_seed(derived_seed(work.seed, "augmentation", epoch))
        self._order = target_order(len(work.target), seed=work.seed, epoch=epoch)

    def __iter__(self) -> Iterator[list[StepPart]]:
        """Yield the steps in order; a thread that ends with the iteration prepares them ahead."""
        # A GPU computes the views itself, queued behind the previous step's kernels; on a CPU the thread does.
        makes_views = self._work.device.type != "cuda"
        with ThreadPoolExecutor(1, thread_name_prefix="step-inputs") as thread:
            _limit_to_one_thread(thread)
            waiting: deque[Future[list[StepPart] | _StoredStep]] = deque()
            try:
                for step in range(self._work.num_steps + NUM_STEPS_AHEAD):
                    if step < self._work.num_steps:
                        waiting.append(thread.submit(self._prepare, step, makes_views=makes_views))
                    if step >= NUM_STEPS_AHEAD:
                        ready = waiting.popleft().result()
                        yield ready if isinstance(ready, list) else self._parts(ready)
            finally:
                for future in waiting:
                    future.cancel()

    def _prepare(self, step: int, *, makes_views: bool) -> list[StepPart] | _StoredStep:
        stored = self._stored_step(step)
        return self._parts(stored) if makes_views else stored

    def _stored_step(self, step: int) -> _StoredStep:
        size = self._work.settings.batch_size
        target = self._stored_batch(self._work.target, self._order[step * size : (step + 1) * size])
        if self._work.source is None:
            return target, None
        rows = source_batch(
            len(self._work.source),
            batch_size=self._work.source_batch_size,
            seed=self._work.seed,
            step=self._first_step + step,
        )
        is_strong = self._work.objective.uses_strong_view
        return target, self._stored_batch(self._work.source, rows, is_strong=is_strong)

    def _stored_batch(self, images: LabelledImages, rows: Tensor, *, is_strong: bool = False) -> _StoredBatch:
        mine = self._work.process_group.part(len(rows))
        stored = images.gather(rows[mine])
        settings, side, aspect = self._work.settings.augmentation, stored.shape[1], images.aspects[rows]
        weak = draw_weak_view(len(rows), side=side, aspect=aspect, settings=settings, generator=self._generator)
        strong = None
        if is_strong:
            strong = draw_strong_view(len(rows), side=side, aspect=aspect, settings=settings, generator=self._generator)
        if self._work.device.type == "cuda":
            stored = stored.pin_memory()
        return _StoredBatch(stored, images.labels[rows[mine]], weak[mine], None if strong is None else strong[mine])

    def _parts(self, stored: _StoredStep) -> list[StepPart]:
        target, source = stored
        targets = self._batches(target)
        sources = [None] * len(targets) if source is None else self._batches(source)
        return list(zip(targets, sources, strict=True))

    def _batches(self, stored: _StoredBatch) -> list[Batch]:
        """Compute the views of a stored batch and split them into parts."""
        work, device = self._work, self._work.device
        preprocessing, settings = work.preprocessing, work.settings.augmentation
        images = stored.images.to(device, non_blocking=True)
        labels = stored.labels.to(device, non_blocking=True)
        weak = weak_view(images, stored.weak, preprocessing=preprocessing)
        strong = None
        if stored.strong is not None:
            strong = strong_view(images, stored.strong, preprocessing=preprocessing, settings=settings)
        each = len(labels) // work.num_parts
        return [
            Batch(weak[part], labels[part], None if strong is None else strong[part])
            for part in (slice(k * each, (k + 1) * each) for k in range(work.num_parts))
        ]
