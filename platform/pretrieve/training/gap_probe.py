"""The gradient gap at the end of each epoch of a trial, always on the same images, so that epochs compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pretrieve.artifacts.keys import derived_seed
from pretrieve.training.augmentation import central_view, draw_strong_view, strong_view, weak_view
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.gradient_gap import GradientGap, estimate_gradient_gap
from pretrieve.training.images import LabelledImages
from pretrieve.training.objectives import Batch

NUM_BATCHES = 4
"""Batches per side. More would give a steadier estimate and a slower trial."""


@dataclass(frozen=True)
class GapProbe:
    """Measures δ² of Theorem 1 at a trial's present weights.

    Attributes:
      work: the trial; its objective has a source stream.
      held_out: images of the target that the trial does not train on.
    """

    work: FineTuning
    held_out: LabelledImages

    def measure(self) -> GradientGap:
        """Estimate the gap from up to NUM_BATCHES batches per side, in the view that is used for prediction.

        The source's images are drawn from those that the trial trains on, since the theorem's ξ are the steps' own
        images. The strong view of eq. 7 is drawn once per image and is the same in every epoch.
        """
        assert self.work.source is not None, "asked only of objectives with a source stream"
        target = self._batches(self.held_out, self.work.settings.batch_size, "target")
        source = self._batches(self.work.source, self.work.source_batch_size, "source")
        return estimate_gradient_gap(
            self.work.network, self.work.objective, target, source, num_parts=self.work.num_parts
        )

    def _batches(self, images: LabelledImages, size: int, side: Literal["target", "source"]) -> list[Batch]:
        generator = torch.Generator().manual_seed(derived_seed(self.work.seed, "gradient_gap", side))
        rows = torch.randperm(len(images), generator=generator)[: NUM_BATCHES * size]
        has_strong_view = side == "source" and self.work.objective.uses_strong_view
        return [self._batch(images, part, generator if has_strong_view else None) for part in rows.split(size)]

    def _batch(self, images: LabelledImages, rows: Tensor, strong_generator: torch.Generator | None) -> Batch:
        device, preprocessing, settings = self.work.device, self.work.preprocessing, self.work.settings.augmentation
        stored, aspect = images.gather(rows).to(device), images.aspects[rows]
        side = stored.shape[1]
        centre = central_view(side=side, preprocessing=preprocessing, aspect=aspect)
        plain = weak_view(stored, centre, preprocessing=preprocessing)
        strong = None
        if strong_generator is not None:
            draws = draw_strong_view(len(rows), side=side, settings=settings, generator=strong_generator, aspect=aspect)
            strong = strong_view(stored, draws, preprocessing=preprocessing, settings=settings)
        return Batch(plain, images.labels[rows].to(device), strong)
