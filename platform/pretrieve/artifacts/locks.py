"""One kind of lock between processes: a file that the system unlocks when its process ends, however it ends."""

from __future__ import annotations

import errno
import glob
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 5.0
"""How often a process that waits for a lock says that it is alive."""

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS, errno.EACCES}
_RANDOM = "[0-9a-f]" * 8


class LockedError(Exception):
    """Another process holds a lock; who asks for the lock says what that means."""


@contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] | None = None, is_optional: bool = False) -> Iterator[None]:
    """Hold a lock for the length of the block.

    Args:
      path: the lock's file, in a folder that exists. It stays: another process may have it open.
      on_wait: called at once, and every POLL_S until the lock is free; None does not wait.
      is_optional: go on without the lock where the file system has no locks or is read-only.

    Raises:
      LockedError: another process holds the lock, and `on_wait` is None.
      OSError: the file cannot be made or locked.
    """
    lock = FileLock(path)
    try:
        _acquire(lock, on_wait)
    except OSError as error:
        if not (is_optional and error.errno in _NO_LOCKS):
            raise
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, on_wait: Callable[[], None] | None) -> None:
    while True:
        if on_wait is not None:
            on_wait()
        try:
            lock.acquire(timeout=0 if on_wait is None else POLL_S)
            return
        except Timeout:
            if on_wait is None:
                raise LockedError(lock.lock_file) from None


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder in `parent` that is gone after the block, or is renamed in it.

    Its process holds a lock beside it, which tells `remove_leftovers` that it lives. A file system without locks loses
    no more than the removal of leftovers.

    Raises:
      OSError: the folder cannot be made.
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
            lock.unlink(missing_ok=True)  # its name is this process's own: no other one waits for it


def remove_leftovers(parent: Path, name: str | None = None) -> None:
    """Remove the temporary folders of killed processes; those of living ones stay.

    Args:
      parent: where they lie; it may be absent.
      name: which they were made for; None for any.
    """
    prefix = ".*" if name is None else f".{glob.escape(name)}"
    found = [path for suffix in ("tmp", "lock") for path in parent.glob(f"{prefix}.{_RANDOM}.{suffix}")]
    for folder in {path.with_suffix(".tmp") for path in found}:
        lock = folder.with_suffix(".lock")
        with suppress(LockedError, OSError), locked(lock):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
