"""Where the time of an epoch goes: waiting for data, forward, backward with the optimizer's step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

StepPartName = Literal["data", "forward", "backward"]


class StepClock:
    """Adds up the time of each part of a step.

    On a GPU, whose work runs behind the program that asks for it, forward and backward are timed by its own events,
    and nothing waits for them before `seconds` is called.

    Args:
      device: what forward and backward run on.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds: dict[StepPartName, float] = {"data": 0.0, "forward": 0.0, "backward": 0.0}
        self._events: list[tuple[StepPartName, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, part: StepPartName) -> Iterator[None]:
        """Count the time of the block as that of a part."""
        if self._is_cuda and part != "data":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            yield
            end.record()
            self._events.append((part, begin, end))
            return
        started = time.perf_counter()
        yield
        self._seconds[part] += time.perf_counter() - started

    def seconds(self) -> dict[StepPartName, float]:
        """Return the time of each part so far, after waiting for the GPU where there is one."""
        if self._events:
            self._events[-1][2].synchronize()
            for part, begin, end in self._events:
                self._seconds[part] += begin.elapsed_time(end) / 1000.0
            self._events.clear()
        return dict(self._seconds)
