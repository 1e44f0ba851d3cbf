"""The schedule that lowers the rate after shares of the training, the paper's (section 4.1)."""

from __future__ import annotations

from pretrieve.training.schedules._base import Schedule
from pretrieve.training.settings import TrainingSettings


class Step(Schedule):
    """Multiply the rate by `training.decay_factor` after each share of the training in `training.decay_at`.

    A share ends with a whole epoch, or with a step where the training's length is given in steps.

    >>> training = TrainingSettings(epochs=10)
    >>> [Step().factor(step, 20, 2, training) for step in (0, 11, 12, 15)]
    [1.0, 1.0, 0.1, 0.1]
    """

    name = "step"
    reads = ("decay_at", "decay_factor")

    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: TrainingSettings) -> float:
        epoch, num_epochs = step // steps_per_epoch, num_steps // steps_per_epoch
        passed = sum(epoch >= round(share * num_epochs) for share in training.decay_at)
        return float(training.decay_factor**passed)
