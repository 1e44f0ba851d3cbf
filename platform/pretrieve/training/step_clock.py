"""How the time of an epoch divides into waiting for data, forward, and backward with the optimizer's step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

StepPartName = Literal["data", "forward", "backward"]


class StepClock:
    """Adds up the time of each part of a step.

    A GPU works asynchronously, so there forward and backward are timed by its own events. Nothing waits for these
    events until `seconds` is called.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds: dict[StepPartName, float] = {"data": 0.0, "forward": 0.0, "backward": 0.0}
        self._events: list[tuple[StepPartName, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, part: StepPartName) -> Iterator[None]:
        """Add the time of the `with` block to a part."""
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
        """Return the time of each part so far in seconds, after waiting for the GPU if there is one."""
        if self._events:
            self._events[-1][2].synchronize()
            for part, begin, end in self._events:
                self._seconds[part] += begin.elapsed_time(end) / 1000.0
            self._events.clear()
        return dict(self._seconds)
