"""Wall time of each stage, and what stages notice: told to the observer, and kept for the study's cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pretrieve.study.observer import Stage, StudyObserver


class Progressed(Protocol):
    """Reports that (pieces done, pieces in all) of what was missing are there, and perhaps a figure beside them."""

    def __call__(self, pieces: int, of: int, /, detail: str = "") -> None:
        """Report."""


class StageClock:
    """Times stages and passes on what they notice.

    Args:
      observer: hears of each stage.
    """

    def __init__(self, observer: StudyObserver) -> None:
        self.observer = observer
        self.seconds: dict[Stage, float] = {}
        self._noticed: set[str] = set()

    def notice(self, message: str) -> None:
        """Tell the observer something once, however many stages come upon it."""
        if message not in self._noticed:
            self._noticed.add(message)
            self.observer.noticed(message)

    @contextmanager
    def stage(self, stage: Stage, *, total: int, done: int = 0) -> Iterator[Progressed]:
        """Time the block; yields a function that reports (pieces done, pieces in all) of what was missing.

        Args:
          stage: which.
          total: its number of pieces.
          done: pieces that an earlier run left.
        """
        started = time.perf_counter()
        self.observer.stage_started(stage, total, done)

        def progressed(pieces: int, _of: int, detail: str = "") -> None:
            self.observer.stage_progressed(stage, done + pieces, total, detail)

        yield progressed
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
        self.observer.stage_finished(stage, self.seconds[stage])
