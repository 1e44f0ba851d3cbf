"""A study has one driver: a second process stops with an error that names the first."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pretrieve.artifacts.locks import LockedError, locked
from pretrieve.errors import StudyInUseError

LOCK, HOLDER = "driver.lock", "driver.txt"


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold the lock of a study, whose folder exists, for the length of the block or the life of the process.

    Raises:
      StudyInUseError: another process holds it; the message names its host and process.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK))
        except LockedError:
            raise StudyInUseError(
                f"one process at a time may run a study, but {folder} is being run by {_holder(folder)}; wait for it, "
                "or stop it"
            ) from None
        stack.callback((folder / HOLDER).unlink, missing_ok=True)
        (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield


def current_driver(folder: Path) -> str | None:
    """Return which process runs a study now; None if none does."""
    if not (folder / LOCK).exists():
        return None
    try:
        with locked(folder / LOCK):
            return None
    except LockedError:
        return _holder(folder)


def _holder(folder: Path) -> str:
    holder = folder / HOLDER
    return holder.read_text(encoding="utf-8") if holder.exists() else "another process"
