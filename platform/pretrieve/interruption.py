"""Signals that ask a command to end: the first ends it in good order within seconds, a second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

LIMIT_S = 8.0
"""How long a command may take to end in good order."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Interrupted(BaseException):
    """A signal asked this process to end; no exception that code which continues after errors would catch."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def exit_status(self) -> int:
        """The status by which a shell knows the signal."""
        return 128 + self.number


_received: list[Interrupted] = []
_actions: list[Callable[[], None]] = []


@contextmanager
def at_a_signal(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` in a thread as soon as a signal comes within the block: to end in good order may take too long."""
    _actions.append(action)
    try:
        yield
    finally:
        _actions.remove(action)


def received() -> Interrupted | None:
    """Return the signal that this process is ending for; an extension module may turn it into another error."""
    return _received[0] if _received else None


@contextmanager
def ending_on_signals(at_once: Callable[[Interrupted], None]) -> Iterator[None]:
    """Raise Interrupted in the block at the first signal; end the process at a second, or where the first takes long.

    `at_once` is called right before the process ends in that way. Signals that the process was started to ignore, such
    as by nohup, stay ignored. In another thread than the main one the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = {number for number, handler in before.items() if handler != signal.SIG_IGN}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader, heard, at_once), name="signals", daemon=True).start()
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in heard:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        if received() is None:  # an interrupted process is about to end, and is watched until it has
            signal.set_wakeup_fd(wakeup)
            for number in heard:
                signal.signal(number, before[number])
            os.close(writer)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _received:  # else what cleans up would be cut short
        _received.append(Interrupted(number))
        raise _received[0]


def _watch(reader: int, heard: Collection[int], at_once: Callable[[Interrupted], None]) -> None:
    """Follow the signals in a thread: the main one may be busy in a function that returns only much later."""

    def end(number: int) -> None:
        try:
            at_once(Interrupted(number))
        finally:
            os._exit(128 + number)

    is_first = True
    while read := os.read(reader, 1):
        if read[0] not in heard:
            continue
        if not is_first:
            end(read[0])
        is_first = False
        timer = threading.Timer(LIMIT_S, end, [read[0]])
        timer.daemon = True
        timer.start()
        for action in tuple(_actions):
            threading.Thread(target=action, daemon=True).start()
    os.close(reader)


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Give the signals back, after the block, to the handlers that they had: Ray takes SIGTERM for its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
