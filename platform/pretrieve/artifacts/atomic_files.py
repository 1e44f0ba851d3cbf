"""Files that are either whole or absent, however a process ends."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it into place when the block succeeds.

    A reader sees the whole old file or the whole new one, because a rename within one file system is atomic. The
    temporary name is unique, so two processes that make the same artifact write into different files. With `is_durable`
    the new file is on the disk before it replaces the old one: else a machine that loses its power may keep the new
    name without its content. This waits for the disk, so it is for what cannot be made again quickly.

    Raises:
      OSError: the folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if is_durable:
            _flush(temporary, os.O_RDWR)
        temporary.replace(path)
        if is_durable and os.name == "posix":  # elsewhere a folder cannot be opened
            _flush(path.parent, os.O_RDONLY)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Raises:
      TypeError, ValueError: `value` cannot be written as JSON; NaN cannot.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
