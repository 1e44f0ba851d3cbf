"""A sign of life of each trial, so that one that hangs is seen: no exception ever tells of it."""

from __future__ import annotations

import contextlib
import faulthandler
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_INTERVAL_S = 1.0
STACK_AT = 0.9
"""Share of the allowed silence after which a trial writes down where it stands."""


class Heartbeat:
    """The sign that one trial gives: the time stamp of a file beside its spool.

    Args:
      spool_path: of the trial.
    """

    def __init__(self, spool_path: Path) -> None:
        self.path = spool_path.with_suffix(".alive")
        self._stack_path = spool_path.with_suffix(".stack")

    @contextmanager
    def beating(self, max_silence_s: float) -> Iterator[Callable[[], None]]:
        """Yield what the trial calls at each step.

        When it was not called for nearly `max_silence_s`, the stacks of the process's threads are written beside the
        spool, by a watch that needs no turn of the interpreter.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        last_s = -BEAT_INTERVAL_S
        with self._stack_path.open("w", encoding="utf-8") as stack:

            def beat() -> None:
                nonlocal last_s
                if time.monotonic() - last_s >= BEAT_INTERVAL_S:
                    last_s = time.monotonic()
                    self.path.touch()
                    faulthandler.dump_traceback_later(STACK_AT * max_silence_s, file=stack)

            beat()
            try:
                yield beat
            finally:
                faulthandler.cancel_dump_traceback_later()
                self.remove()

    def touch(self) -> None:
        """Give the sign from outside of a step; where even this finds no room, there is none."""
        with contextlib.suppress(OSError):
            self.path.touch()

    def seen_at(self) -> int | None:
        """Return the time stamp; only whether it changes means anything, as clocks of nodes differ."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

    def stack(self) -> str:
        """Return the stacks that a silent trial wrote; empty where it wrote none."""
        return self._stack_path.read_text(encoding="utf-8") if self._stack_path.exists() else ""

    def remove(self) -> None:
        """Delete the files of an attempt that ended."""
        self.path.unlink(missing_ok=True)
        self._stack_path.unlink(missing_ok=True)
