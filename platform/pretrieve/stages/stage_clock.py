"""Times the stages, and passes their progress and notices on to the observer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pretrieve.stages.observer import StudyObserver


class Progressed(Protocol):
    """Reports (pieces done, pieces in all) of the missing pieces, and perhaps a current figure."""

    def __call__(self, pieces: int, of: int, /, detail: str = "") -> None:
        """Report."""


class StageClock:
    """Times stages, in `seconds` of wall time by stage; passes their progress and notices on to an observer."""

    def __init__(self, observer: StudyObserver) -> None:
        self.observer = observer
        self.seconds: dict[str, float] = {}
        self._noticed: set[str] = set()

    def notice(self, message: str) -> None:
        """Pass a message on once, however often it is given."""
        if message not in self._noticed:
            self._noticed.add(message)
            self.observer.noticed(message)

    @contextmanager
    def passing_on_warnings(self) -> Iterator[None]:
        """Within the block, pass on the warnings of the store, such as of damaged files."""
        handler, logger = _Notices(self), logging.getLogger("pretrieve.artifacts")
        logger.addHandler(handler)
        propagated, logger.propagate = logger.propagate, False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagated

    @contextmanager
    def stage(self, stage: str, *, total: int, done: int = 0) -> Iterator[Progressed]:
        """Time the block; yield a function that reports (pieces done, pieces in all) of the missing pieces.

        `done` pieces of the `total` are left by an earlier run.
        """
        started = time.perf_counter()
        self.observer.stage_started(stage, total, done)

        def progressed(pieces: int, _of: int, detail: str = "") -> None:
            self.observer.stage_progressed(stage, done + pieces, total, detail)

        yield progressed
        self._end(stage, time.perf_counter() - started)

    def found(self, stage: str, total: int, seconds: float) -> None:
        """Report a stage whose pieces were all in the store; `seconds` is how long finding them took."""
        self.observer.stage_started(stage, total, total)
        self._end(stage, seconds)

    def _end(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.observer.stage_finished(stage, self.seconds[stage])


class _Notices(logging.Handler):
    """Passes log records on as notices."""

    def __init__(self, clock: StageClock) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        self._clock.notice(record.getMessage())
