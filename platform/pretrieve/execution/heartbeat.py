"""A sign of life of each trial: a trial that hangs raises no error, but stops giving the sign."""

from __future__ import annotations

import contextlib
import faulthandler
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TOUCH_INTERVAL_S = 1.0
STACK_AT = 0.9
"""Fraction of the allowed silence after which a trial writes the stacks of its threads."""


class Heartbeat:
    """The sign of life of one trial: the time stamp of a file beside its spool."""

    def __init__(self, spool_path: Path) -> None:
        self.path = spool_path.with_suffix(".alive")
        self._stack_path = spool_path.with_suffix(".stack")

    @contextmanager
    def started(self, max_silence_s: float) -> Iterator[Callable[[], None]]:
        """Yield a function that the trial calls at each step.

        If it is not called for nearly `max_silence_s`, the stacks of all threads are written beside the spool, even
        where the interpreter itself hangs.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        last_s = -TOUCH_INTERVAL_S
        with self._stack_path.open("w", encoding="utf-8") as stack:

            def on_step() -> None:
                nonlocal last_s
                if time.monotonic() - last_s >= TOUCH_INTERVAL_S:
                    last_s = time.monotonic()
                    self.path.touch()
                    faulthandler.dump_traceback_later(STACK_AT * max_silence_s, file=stack)

            on_step()
            try:
                yield on_step
            finally:
                faulthandler.cancel_dump_traceback_later()
                self.remove()

    def touch(self) -> None:
        """Give the sign outside of a step, unless the disk is too full for it."""
        with contextlib.suppress(OSError):
            self.path.touch()

    def seen_at(self) -> int | None:
        """Return the time stamp in ns, or None; compare it only with other stamps of this file: clocks differ."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

    def stack(self) -> str:
        """Return the stacks that a silent trial wrote, or an empty text."""
        return self._stack_path.read_text(encoding="utf-8") if self._stack_path.exists() else ""

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._stack_path.unlink(missing_ok=True)
