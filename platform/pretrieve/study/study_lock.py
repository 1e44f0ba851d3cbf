"""One driver a study: the second says who runs it, and leaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pretrieve.errors import StudyInUseError


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold a study for the length of the block; the lock goes with the process, however it ends.

    Args:
      folder: the study's folder, which exists.

    Raises:
      StudyInUseError: another process holds it; names its host and process.
    """
    holder = folder / "driver.txt"
    lock = FileLock(folder / "driver.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise StudyInUseError(
            f"one process at a time may run a study, but {folder} is being run by {who}; wait for it, or stop it"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def current_driver(folder: Path) -> str | None:
    """Say who runs a study at this moment; None where nobody does."""
    lock_path, holder = folder / "driver.lock", folder / "driver.txt"
    if not lock_path.exists():
        return None
    lock = FileLock(lock_path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return holder.read_text(encoding="utf-8") if holder.exists() else "another process"
    lock.release()
    return None
