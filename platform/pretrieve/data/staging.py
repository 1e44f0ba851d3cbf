"""Folders that are filled out of sight and then moved into place, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pretrieve.errors import ImageSetError


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder from which files can be renamed into `folder`; it is gone after the block.

    It lies in `folder` where that exists (which may be a mounted disk of its own), else beside it. It is locked while
    its process lives: that tells the leftovers of killed ones, which are removed here.

    Raises:
      OSError: it cannot be made.
    """
    place = folder if folder.is_dir() else folder.parent
    place.mkdir(parents=True, exist_ok=True)
    for leftover in place.glob(f".{_escaped(folder.name)}.*.unpacking"):
        _remove_leftover(leftover)
    staging = place / f".{folder.name}.{uuid.uuid4().hex[:8]}.unpacking"
    staging.mkdir()
    lock = os.open(staging, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks loses no more than the removal of leftovers
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _remove_leftover(folder: Path) -> None:
    with suppress(OSError):  # its process lives, or another one removes it just now
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def move_into(staging: Path, folder: Path, *, label: str) -> None:
    """Move what a staging folder holds into `folder`, overwriting nothing; folders on both sides become one.

    Into an existing folder that takes several renames. They start from a folder named after `label`, which says after
    a kill that everything was there: `finish_move` goes on.

    Raises:
      ImageSetError: something has a name already; then nothing was moved.
    """
    if not folder.exists():
        staging.rename(folder)
        return
    for path in _conflicts(staging, folder):
        raise ImageSetError(
            f"what {label} unpacks must not overwrite anything, but {path} exists; "
            "remove it if it is left from an earlier attempt, or choose another folder"
        )
    staging.rename(_moving(folder, label))
    finish_move(folder, label=label)


def finish_move(folder: Path, *, label: str) -> bool:
    """Finish a move that a kill interrupted; False where there is none.

    Raises:
      ImageSetError: something took a name meanwhile.
    """
    moving = _moving(folder, label)
    if not moving.is_dir():
        return False
    for path in _conflicts(moving, folder):
        raise ImageSetError(f"what {label} unpacks must not overwrite anything, but {path} exists by now; remove it")
    _merge(moving, folder)
    shutil.rmtree(moving)
    return True


def _moving(folder: Path, label: str) -> Path:
    return folder / f".{label}.moving"


def _conflicts(staging: Path, folder: Path) -> Iterator[Path]:
    for entry in sorted(staging.iterdir()):
        path = folder / entry.name
        if _are_folders(entry, path):
            yield from _conflicts(entry, path)
        elif os.path.lexists(path):
            yield path


def _merge(staging: Path, folder: Path) -> None:
    for entry in sorted(staging.iterdir()):
        if _are_folders(entry, folder / entry.name):
            _merge(entry, folder / entry.name)
        else:
            entry.rename(folder / entry.name)


def _are_folders(entry: Path, path: Path) -> bool:
    return entry.is_dir() and path.is_dir() and not path.is_symlink()
