"""The contract of a schedule: how the learning rates change in the course of a training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pretrieve.training.settings import TrainingSettings


class Schedule(ABC):
    """How the learning rates change from step to step.

    The arguments of a member's constructor are its own settings, `training.schedule_settings` of a study. A factor
    depends on nothing but the arguments of `factor`, so a resumed training has the rates of one left alone.

    Attributes:
      name: its name in studies.
      reads: the fields of TrainingSettings that it reads, beside `schedule_settings`. Others of the fields that only
        optimizers and schedules read are no part of a trial's key.

    Raises:
      ValueError: a setting is out of its range.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: TrainingSettings) -> float:
        """Return what multiplies every group's first rate in one step: finite, ≥ 0, and > 0 in the first step.

        Args:
          step: from 0 to num_steps − 1.
          num_steps: of the whole training, ≥ 1.
          steps_per_epoch: of one pass over the target; 1 where the length is a number of steps. It divides `num_steps`.
          training: the settings that all trials of the study share.
        """
