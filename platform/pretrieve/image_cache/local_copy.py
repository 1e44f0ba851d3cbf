"""Copies of cached entries on a node's own disk, made once per node and shared by all its trials."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pretrieve.artifacts.locks import locked
from pretrieve.errors import DamagedArtifactError
from pretrieve.image_cache.card import read_card, verify_entry

COPIED_AT_ONCE = 64 * 2**20


def local_copy(
    folders: Sequence[Path], scratch: Path | None, on_progress: Callable[[], None] = lambda: None
) -> tuple[Path, ...]:
    """Return finished entries on this node's own disk, in the same order, copying those that are not there yet.

    Reading images in random order from storage that all nodes share is slow. The first process of a node that requests
    an entry copies it, and other processes that request it meanwhile wait. A copy is whole or absent, and its digests
    are compared before it is used. It has the name of its entry, a hash of its content, so studies share it. Copies are
    never removed: the user may empty the folder, preferably when no trial runs.

    `scratch` is a folder of the user's on a disk of this node; None returns the entries themselves. `on_progress` is
    called repeatedly while an entry is copied, by this process or by another one.

    Raises:
      FileNotFoundError: an entry is not there.
      DamagedArtifactError: an entry is not what was written.
      OSError: the disk of `scratch` is full or not writable.
    """
    if scratch is None:
        return tuple(folders)
    for entry in folders:
        copy = scratch / entry.name
        if not _is_copy(copy, entry):
            scratch.mkdir(parents=True, exist_ok=True)
            with locked(scratch / f".{entry.name}.lock", on_wait=on_progress):
                if not _is_copy(copy, entry):  # else another process copied it meanwhile
                    _make_copy(entry, copy, on_progress)
    return tuple(scratch / entry.name for entry in folders)


def _is_copy(copy: Path, entry: Path) -> bool:
    try:
        return verify_entry(copy) == read_card(entry)
    except (FileNotFoundError, DamagedArtifactError):
        return False


def _make_copy(entry: Path, copy: Path, on_progress: Callable[[], None]) -> None:
    temporary = copy.with_name(f".{copy.name}.tmp")
    for leftover in (temporary, copy):  # of a killed process, or damaged; the lock keeps other processes out
        shutil.rmtree(leftover, ignore_errors=True)
    needed, free = verify_entry(entry).num_bytes, shutil.disk_usage(copy.parent).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the disk of local copies must have {needed / 1e9:.1f} GB free for cached images, but has "
            f"{free / 1e9:.1f} GB; empty {copy.parent}, or name a folder on a larger disk",
            str(copy),
        )
    try:
        shutil.copytree(entry, temporary, copy_function=partial(_copy_file, on_progress=on_progress))
        on_progress()
        try:
            verify_entry(temporary, pixels=True)
        except DamagedArtifactError:
            verify_entry(entry, pixels=True)  # names the entry, if it is the damaged one
            raise
        on_progress()
        temporary.rename(copy)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_file(source: str, destination: str, *, on_progress: Callable[[], None]) -> None:
    with Path(source).open("rb") as read, Path(destination).open("wb") as written:
        while part := read.read(COPIED_AT_ONCE):
            written.write(part)
            on_progress()
