"""The schedule that warms up and then falls along half a cosine (Loshchilov and Hutter 2017)."""

from __future__ import annotations

import math

from pretrieve.training.schedules._base import Schedule
from pretrieve.training.settings import TrainingSettings


class CosineDecay(Schedule):
    """Raise the rate in a straight line to its full value, then lower it along half a cosine.

    Args:
      warmup: share of all steps in which the rate rises, in [0, 1).
      floor: share of the full rate that it falls to at the end of the training, in [0, 1].

    >>> schedule = CosineDecay(warmup=0.2)
    >>> [round(schedule.factor(step, 10, 5, TrainingSettings()), 2) for step in (0, 1, 2, 6, 9)]
    [0.33, 0.67, 1.0, 0.5, 0.04]
    """

    name = "cosine_decay"

    def __init__(self, warmup: float = 0.1, floor: float = 0.0) -> None:
        self._warmup, self._floor = float(warmup), float(floor)
        if not 0 <= self._warmup < 1:
            raise ValueError(f"warmup must be a share of the steps, >= 0 and < 1, but is {warmup}; 0 leaves it out")
        if not 0 <= self._floor <= 1:
            raise ValueError(f"floor must be a share of the rate, >= 0 and <= 1, but is {floor}; 0 falls to nothing")

    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: TrainingSettings) -> float:
        # However short the training, at least one step rises if any share does, and at least one has the full rate.
        num_rising = min(max(round(self._warmup * num_steps), int(self._warmup > 0)), num_steps - 1)
        if step < num_rising:
            return (step + 1) / (num_rising + 1)
        passed = (step - num_rising) / (num_steps - num_rising)
        return self._floor + (1 - self._floor) * (1 + math.cos(math.pi * passed)) / 2
