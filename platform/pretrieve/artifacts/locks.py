"""Locks between processes: files that the system unlocks when their process ends, even when it is killed."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pretrieve.errors import StudyInUseError

DRIVER_LOCK, DRIVER_NAME = "driver.lock", "driver.txt"
"""Files in a study's folder: the lock of the process that runs it, and the name of that process."""

POLL_S = 5.0
"""How often a process that waits for a lock calls `on_wait`."""

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS, errno.EACCES}
_RANDOM = "[0-9a-f]" * 8


class LockedError(Exception):
    """Another process holds a lock; the caller turns this into a message."""


@contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] | None = None, is_optional: bool = False) -> Iterator[None]:
    """Hold a lock for the length of the block.

    Args:
      path: file of the lock in an existing folder. It is not deleted, because another process may have it open.
      on_wait: called at once, and every POLL_S until the lock is free; None does not wait.
      is_optional: go on without the lock if the file system has no locks or is read-only.

    Raises:
      LockedError: another process holds the lock, and `on_wait` is None.
      OSError: the file cannot be made or locked.
    """
    lock = FileLock(path)
    while not lock.is_locked:
        if on_wait is not None:
            on_wait()
        try:
            lock.acquire(timeout=0 if on_wait is None else POLL_S)
        except Timeout:
            if on_wait is None:
                raise LockedError(lock.lock_file) from None
        except OSError as error:
            if not (is_optional and error.errno in _NO_LOCKS):
                raise
            break
    try:
        yield
    finally:
        lock.release()


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, removed after the block unless the block renames it.

    The process holds a lock beside it, so that `remove_leftovers` keeps it. On a file system without locks the folder
    works too, but leftovers are not removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
    lock = folder.with_suffix(".lock")
    with locked(lock, is_optional=True):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)  # the name is unique, so no other process waits for it


def remove_leftovers(parent: Path, name: str | None = None) -> None:
    """Remove the temporary folders that killed processes left in `parent`, which may be absent.

    If a name is given, only the folders made for it are removed.
    """
    prefix = ".*" if name is None else f".{glob.escape(name)}"
    found = [path for suffix in ("tmp", "lock") for path in parent.glob(f"{prefix}.{_RANDOM}.{suffix}")]
    for folder in {path.with_suffix(".tmp") for path in found}:
        lock = folder.with_suffix(".lock")
        with suppress(LockedError, OSError), locked(lock):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold the lock of a study, whose folder exists, for the length of the block or the life of the process.

    Raises:
      StudyInUseError: another process holds it; the message names its host and process.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / DRIVER_LOCK))
        except LockedError:
            raise StudyInUseError(
                f"one process at a time may run a study, but {folder} is being run by {_driver_name(folder)}; wait for "
                "it, or stop it"
            ) from None
        stack.callback((folder / DRIVER_NAME).unlink, missing_ok=True)
        (folder / DRIVER_NAME).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield


def current_driver(folder: Path) -> str | None:
    """Return which process runs a study now; None if none does."""
    if not (folder / DRIVER_LOCK).exists():
        return None
    try:
        with locked(folder / DRIVER_LOCK):
            return None
    except LockedError:
        return _driver_name(folder)
    except OSError:  # in a read-only folder the lock cannot be tried; a driver removes its name at its end
        return _driver_name(folder) if (folder / DRIVER_NAME).exists() else None


def _driver_name(folder: Path) -> str:
    name = folder / DRIVER_NAME
    return name.read_text(encoding="utf-8") if name.exists() else "another process"
