"""Temporary folders of killed writers: told from those of living ones by a lock that dies with its process."""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WRITERS_LOCK = ".writers.lock"
TEMPORARY = ".*.tmp"


@contextmanager
def temporary_folder(cache: Path, name: str) -> Iterator[Path]:
    """Yield a new folder in `cache` that is gone after the block, or is renamed in it.

    Meanwhile the process holds the cache's lock together with the other writers; the kernel lets go of it however the
    process ends. A file system without locks loses no more than the removal of leftovers.

    Raises:
      OSError: the folder cannot be made.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / WRITERS_LOCK).open("a+b") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        folder = cache / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(cache: Path) -> None:
    """Remove the temporary folders of a cache, unless a process is writing into the cache just now."""
    if not (cache / WRITERS_LOCK).exists():
        return
    with (cache / WRITERS_LOCK).open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        for folder in cache.glob(TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)


def remove_folder(folder: Path, cache: Path) -> None:
    """Remove a folder of the cache; at no moment does a part of it stand in its place.

    Raises:
      OSError: the folder is gone already, or the cache is not writable.
    """
    with temporary_folder(cache, folder.name) as temporary:
        folder.rename(temporary / folder.name)
