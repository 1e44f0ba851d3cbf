"""Processes that end with the one that started them, even one that is killed. Run as a program, it waits for that.

Ray's own processes notice the loss of a killed driver after about 40 s. They and what they start are known by a
variable of their environment, which they pass on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "PRETRIEVE_STARTED_BY"
MAX_ROUNDS = 50

_guarded: set[str] = set()


@contextmanager
def guarded() -> Iterator[dict[str, str]]:
    """Yield variables for the environment of processes that are to end with the block, or with this process.

    Without `/proc` (on other systems than Linux) they end as they do by themselves.
    """
    mark = uuid.uuid4().hex
    command = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), mark]
    # A session of its own, so that a signal to this process and its group leaves the guard alive.
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    _guarded.add(mark)
    try:
        yield {MARK: mark}
    finally:
        _guarded.discard(mark)
        end_processes(mark)
        guard.communicate()  # closes its input, at which it ends


def end_guarded() -> None:
    """End at once what any block of this process guards."""
    for mark in tuple(_guarded):
        end_processes(mark)


def end_processes(mark: str) -> None:
    """Kill all processes that carry a mark, and those that they start meanwhile."""
    for _ in range(MAX_ROUNDS):
        found = _carriers(f"{MARK}={mark}".encode())
        for process in found:
            with suppress(OSError):  # it ended meanwhile
                os.kill(process, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.05)


def _carriers(variable: bytes) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or it ended meanwhile
            # A process that ended and waits for its parent has no environment.
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [process for process in found if process != os.getpid()]


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()  # ends with whoever holds the other end
    end_processes(sys.argv[1])
