"""Disk space: what a folder takes, and a full disk, on which a study waits and nothing ends."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

LOOK_INTERVAL_S = 2.0
SMALL_FILE_BYTES = 65_536

T = TypeVar("T")


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk or a used-up quota caused an error.

    All errors in its chain are looked at, because torch's error about a failed write hides the system's error.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def has_no_space(folder: Path) -> bool:
    """Return whether the disk of a folder has no space for a small file."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())  # it may be made later
    return shutil.disk_usage(there).free < SMALL_FILE_BYTES


def write_once_disk_has_space(write: Callable[[], T], on_wait: Callable[[], None]) -> T:
    """Call `write`, again every LOOK_INTERVAL_S while the disk is full, with a call of `on_wait` before each pause.

    A failed `write` may leave a part behind, so parts must do no harm. Its errors of any other kind are raised.
    """
    while True:
        try:
            return write()
        except Exception as error:
            if not is_disk_full(error):
                raise
        on_wait()
        time.sleep(LOOK_INTERVAL_S)


def disk_use(folder: Path | os.DirEntry[str]) -> int:
    """Return the bytes on disk of all that a folder holds; it may be absent, and may change meanwhile."""
    try:
        with os.scandir(folder) as entries:
            return sum(_bytes_of(entry) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):  # a writer renamed or removed it meanwhile
        return 0


def _bytes_of(entry: os.DirEntry[str]) -> int:
    try:
        own = entry.stat(follow_symlinks=False).st_blocks * 512  # a link is counted and not followed
    except FileNotFoundError:
        return 0
    return own + disk_use(entry) if entry.is_dir(follow_symlinks=False) else own
