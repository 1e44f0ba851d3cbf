"""A full disk makes a study wait and ends nothing: a write is repeated until there is disk space."""

from __future__ import annotations

import errno
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
    return shutil.disk_usage(folder).free < SMALL_FILE_BYTES


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
