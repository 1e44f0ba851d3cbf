"""A full disk holds a study up, and ends nothing: what is to be written waits until there is room."""

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
    """Tell whether a full disk, or a used-up quota, is behind an error.

    Looks through what it was raised from and in the handling of: torch's own error of a file that it could not write
    hides the one that says so.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def has_no_room(folder: Path) -> bool:
    """Tell whether the disk of a folder has no room for a small file."""
    return shutil.disk_usage(folder).free < SMALL_FILE_BYTES


def when_there_is_room(write: Callable[[], T], on_wait: Callable[[], None]) -> T:
    """Write now, or once the disk is no longer full.

    Args:
      write: tried until it succeeds; what it leaves when it fails must do no harm.
      on_wait: called before each further try, every two seconds, to say so.

    Raises:
      Exception: whatever `write` raises that is not a full disk.
    """
    while True:
        try:
            return write()
        except Exception as error:
            if not is_disk_full(error):
                raise
        on_wait()
        time.sleep(LOOK_INTERVAL_S)
