"""The schedule that lowers the rate after shares of the training, the paper's (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve.training.schedules._base import Schedule
from pretrieve.training.settings import TrainingSettings


class Step(Schedule):
    """Multiply the rate by `training.decay_factor` after each share of the training in `training.decay_at`.

    A share ends with a whole epoch, or with a step where the training's length is given in steps, or has too few epochs
    for each rate to have one. Shares are rounded so that no rate is left out, except in trainings of fewer steps than
    rates.

    >>> training = TrainingSettings(epochs=10)
    >>> [Step().factor(step, 20, 2, training) for step in (0, 11, 12, 15)]
    [1.0, 1.0, 0.1, 0.1]
    >>> [round(Step().factor(step, 6, 3, TrainingSettings(epochs=2)), 2) for step in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.1, 0.01]
    """

    name = "step"
    reads = ("decay_at", "decay_factor")

    def factor(self, step: int, num_steps: int, steps_per_epoch: int, training: TrainingSettings) -> float:
        shares, num_epochs = sorted(set(training.decay_at)), num_steps // steps_per_epoch
        length = steps_per_epoch if num_epochs > len(shares) else 1
        ends = dict(zip(shares, _ends(shares, num_steps // length), strict=True))
        passed = sum(step // length >= ends[share] for share in training.decay_at)
        return float(training.decay_factor**passed)


def _ends(shares: Sequence[float], length: int) -> list[int]:
    """Round shares of a length to whole ends, so that each part between them, the first and last too, has a length.

    Args:
      shares: rising, in (0, 1).
      length: ≥ 1. Where it is shorter than the number of parts, the last ones are left out.

    >>> _ends([0.6, 0.8], 5), _ends([0.6, 0.8], 3), _ends([0.01, 0.99], 4), _ends([0.6, 0.8], 2)
    ([3, 4], [1, 2], [1, 3], [1, 2])
    """
    ends: list[int] = []
    for share in shares:
        ends.append(max(round(share * length), ends[-1] + 1 if ends else 1))
    latest = max(length - 1, len(ends))
    return [min(end, latest - behind) for end, behind in zip(ends, reversed(range(len(ends))), strict=True)]
