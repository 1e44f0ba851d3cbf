"""How many trials share a GPU, or how many threads each has: whatever gives the most trials an hour, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pretrieve.execution.step_probe import Speed

MEMORY_MARGIN = 0.1
"""Share of a GPU's memory that stays free: batches of other cells, and what other programs take."""

MIN_GAIN = 0.05
"""More trials side by side must give so much more together, else fewer are better: each is done earlier, and a
measurement of seconds is no truer than that."""

MAX_PER_GPU = 8


@dataclass(frozen=True)
class Packing:
    """What a trial gets, and what was measured of it.

    Attributes:
      num_side_by_side: trials that share the device.
      speed: of them; None where not even one was measured to fit.
      tried: everything that was measured, in that order.
    """

    num_side_by_side: int
    speed: Speed
    tried: tuple[Speed, ...]

    @property
    def gain(self) -> float:
        """Trials an hour over those of one at a time."""
        alone = min(self.tried, key=lambda speed: speed.num_side_by_side)
        return self.speed.total_steps_per_s / alone.total_steps_per_s


def pack(
    measure: Callable[[int], Speed | None], candidates: Sequence[int], *, margin: float = MEMORY_MARGIN
) -> Packing | None:
    """Try numbers of trials side by side until more of them give no more.

    Args:
      measure: measures so many; None where they do not fit into memory together.
      candidates: numbers to try, rising.
      margin: share of the device's memory that stays free, in [0, 1).

    Returns:
      The number that gives the most steps a second together, the smallest where larger ones give hardly more; None
      where not even the first fits.
    """
    tried: list[Speed] = []
    best: Speed | None = None
    for number in candidates:
        if tried and not _would_fit(tried[-1], number, margin):
            break
        speed = measure(number)
        if speed is None:
            break
        tried.append(speed)
        if number > candidates[0] and not _fits(speed, margin):
            break
        if best is None or speed.total_steps_per_s > (1 + MIN_GAIN) * best.total_steps_per_s:
            best = speed
        elif speed.total_steps_per_s < (1 - MIN_GAIN) * best.total_steps_per_s:
            break  # the device is full: still more only stand in one another's way
    return None if best is None else Packing(best.num_side_by_side, best, tuple(tried))


def _fits(speed: Speed, margin: float) -> bool:
    return not speed.memory_bytes or speed.num_side_by_side * speed.peak_bytes <= (1 - margin) * speed.memory_bytes


def _would_fit(measured: Speed, number: int, margin: float) -> bool:
    """Say whether so many of what was measured fit: trying what cannot would disturb who shares the device."""
    return not measured.memory_bytes or number * measured.peak_bytes <= (1 - margin) * measured.memory_bytes


def gpu_candidates(num_cpus: int, cpus_per_trial: int) -> list[int]:
    """List how many trials a GPU may be shared by, with so many CPUs beside it.

    >>> gpu_candidates(16, 2), gpu_candidates(3, 1)
    ([1, 2, 3, 4, 6, 8], [1, 2, 3])
    """
    most = max(1, min(MAX_PER_GPU, num_cpus // cpus_per_trial))
    return [number for number in (1, 2, 3, 4, 6, 8) if number <= most]


def cpu_candidates(num_cpus: int) -> list[int]:
    """List numbers of trials side by side that leave no core of a node without one, and none with two.

    >>> cpu_candidates(2), cpu_candidates(12)
    ([1, 2], [1, 2, 3, 4, 6, 12])
    """
    return [number for number in range(1, num_cpus + 1) if num_cpus % number == 0]
