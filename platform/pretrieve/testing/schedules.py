"""The contract suite of schedules."""

from __future__ import annotations

import copy
import math

from pretrieve.training.schedules import Schedule
from pretrieve.training.settings import TrainingSettings

LENGTHS = ((1, 1), (1, 7), (3, 1), (10, 3), (100, 4))
"""Epochs, and steps of each."""


def check_schedule(schedule: Schedule) -> None:
    """Check that a schedule keeps the contract of `Schedule`.

    In trainings of several lengths its factors are finite and ≥ 0, and that of the first step > 0. They are the same
    whatever was asked before, and do not depend on settings that the schedule does not list in `reads`.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> from pretrieve.training.schedules.cosine_decay import CosineDecay
    >>> check_schedule(CosineDecay(warmup=0.2))
    """
    for epochs, steps_per_epoch in LENGTHS:
        training, fresh = TrainingSettings(epochs=epochs), copy.deepcopy(schedule)
        factors = _factors(schedule, training, steps_per_epoch)
        place = f"of {epochs * steps_per_epoch} in {epochs} epochs ({type(schedule).__name__})"
        for step, factor in enumerate(factors):
            if not isinstance(factor, float | int) or not math.isfinite(factor) or factor < 0:
                raise AssertionError(f"a factor must be a finite number >= 0, but is {factor!r} in step {step} {place}")
        if not factors[0] > 0:
            raise AssertionError(f"the factor of the first step must be > 0, but is {factors[0]} in step 0 {place}")
        backwards = _factors(fresh, training, steps_per_epoch, is_reversed=True)
        for other in (backwards, _factors(schedule, training, steps_per_epoch)):
            for step, (first, second) in enumerate(zip(factors, other, strict=True)):
                if first != second:
                    raise AssertionError(
                        "a factor must not depend on what was asked for before, but is once "
                        f"{first} and once {second} in step {step} {place}"
                    )
    for field, value in {"decay_at": (0.2, 0.5), "decay_factor": 0.7, "momentum": 0.3}.items():
        plain, other_training = TrainingSettings(), TrainingSettings(**{field: value})
        if field not in schedule.reads and _factors(schedule, plain, 1) != _factors(schedule, other_training, 1):
            raise AssertionError(
                f"a schedule must list the settings that it reads, but training.{field} changes its factors and "
                f"`reads` of {type(schedule).__name__} is {schedule.reads}"
            )


def _factors(
    schedule: Schedule, training: TrainingSettings, steps_per_epoch: int, *, is_reversed: bool = False
) -> list[float]:
    num_steps = training.epochs * steps_per_epoch
    order = reversed(range(num_steps)) if is_reversed else range(num_steps)
    factors = [schedule.factor(step, num_steps, steps_per_epoch, training) for step in order]
    return factors[::-1] if is_reversed else factors
