"""The events of a running study, for whatever watches it (a live view, a log, a test), and the clock of its stages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrialEvent:
    """A trial or refit that started, progressed or ended.

    Attributes:
      kind: `trial` or `refit`.
      state: `waiting`: it has done the folds of its round of a race.
      description: its configuration in one line.
      epoch: number of finished epochs.
      score: the latest score in [0, 1]; None where there is none yet.
    """

    kind: str
    target: str
    method: str
    description: str
    state: Literal["started", "progressed", "waiting", "finished", "diverged", "stopped", "failed"]
    epoch: int = 0
    score: float | None = None


class StudyObserver:
    """Receives the events of a study. This class ignores them; a view overrides the methods it needs."""

    def repeat_started(self, number: int, total: int) -> None:
        """Receive the start of a later repeat, from 2 to `total`."""

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        """Receive the start of a stage of `total` pieces, of which an earlier run left `done`."""

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "", worth: float | None = None) -> None:
        """Receive the number of a stage's pieces that are done; `detail` may hold a current figure.

        Where pieces differ much, `worth` says how many pieces of mean size are done, with those under way.
        """

    def stage_finished(self, stage: str, seconds: float) -> None:
        """Receive the end of a stage."""

    def trial_event(self, event: TrialEvent) -> None:
        """Receive an event of a trial or refit."""

    def best_found(self, target: str, method: str, score: float) -> None:
        """Receive the best validation score, in [0, 1], that earlier runs left in a cell."""

    def noticed(self, message: str) -> None:
        """Receive a message that a user should read, such as an image that does not decode."""


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
    def stage(self, stage: str, *, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        """Time the block; yield a function that reports (pieces done, pieces in all) of the missing pieces.

        `done` pieces of the `total` are left by an earlier run. The function also takes the `detail` and the `worth` of
        `StudyObserver.stage_progressed`.
        """
        started = time.perf_counter()
        self.observer.stage_started(stage, total, done)

        def progressed(pieces: int, _of: int, detail: str = "", worth: float | None = None) -> None:
            self.observer.stage_progressed(stage, done + pieces, total, detail, None if worth is None else done + worth)

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
