"""The work of a trial or a refit, and the time of a list of them that run side by side."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from pretrieve.components import OBJECTIVES
from pretrieve.data.image_set import ImageSet
from pretrieve.execution.measuring.speed import Speed
from pretrieve.stages.trial_maker import SPLITS, Kind
from pretrieve.training.length import Length
from pretrieve.training.settings import TrainingSettings

TRIAL_OVERHEAD_S = 0.05
"""Seconds of a trial beside its training: Tune starts it, its run is recorded, its inputs are opened."""


FIT_S_PER_NUMBER = 6e-9
"""Seconds of a logistic regression for each image, class and dimension (measured on two cores)."""


@dataclass(frozen=True)
class Work:
    """The work of one trial or refit.

    Attributes:
      epochs: how often it is scored or saved.
      steps: training steps.
      images_per_step: of the target and of the source.
      scored: images that are scored.
    """

    epochs: int
    steps: int
    images_per_step: int
    scored: int

    @property
    def image_passes(self) -> int:
        """Images that pass through the network, forward only or forward and backward."""
        return self.steps * self.images_per_step + self.scored

    def seconds(self, speed: Speed) -> float:
        training_s = self.steps / speed.steps_per_s + self.scored / speed.scored_per_s + self.epochs * speed.epoch_s
        return speed.start_s + training_s + TRIAL_OVERHEAD_S


def fit_seconds(num_images: int, num_classes: int, feature_dim: int) -> float:
    """Estimate how long a row that is fitted to features takes for one fit."""
    return TRIAL_OVERHEAD_S + FIT_S_PER_NUMBER * num_images * num_classes * min(num_images, feature_dim)


def work_of(
    kind: Kind, training: TrainingSettings, target: ImageSet, objective: str, num_folds: int | None = None
) -> Work:
    """Count the work of a trial, which scores val after each epoch, or of a refit, which scores test once.

    With folds, a trial is a training for each of them, and scores every training image once.
    """
    splits, evaluate = SPLITS[kind]
    uses_source = OBJECTIVES.find(objective).uses_source
    num_images = sum(target.num_images(split) for split in splits)
    if kind == "trial" and num_folds is not None:
        learned = num_images - num_images // num_folds
        length = Length.of(training, learned, has_source=uses_source)
        batch, source_batch = training.step_sizes(learned)
        per_step = batch + (source_batch if uses_source else 0)
        return Work(num_folds * length.num_epochs, num_folds * length.num_steps, per_step, num_images)
    length = Length.of(training, num_images, has_source=uses_source)
    scored = target.num_images(evaluate) * (length.num_epochs if kind == "trial" else 1)
    batch, source_batch = training.step_sizes(num_images)
    return Work(length.num_epochs, length.num_steps, batch + (source_batch if uses_source else 0), scored)


def makespan(seconds: Iterable[float], num_slots: int) -> float:
    """Return when the last of several tasks ends; they start in order, each as soon as one of `num_slots` is free.

    >>> makespan([3.0, 1.0, 1.0, 1.0], 2)
    3.0
    """
    free_at = [0.0] * max(1, num_slots)
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)
