"""The files and folders of a data set on disk, without what systems and programs keep beside them.

Links to folders are followed, each folder once: a link into a folder above it, and a second link to one folder, add
nothing.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

STORAGE_FOLDERS = frozenset(
    {
        "@eadir", "@__thumb", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found",
        "system volume information",
    }
)  # fmt: skip
"""Folders, in lower case, in which storage boxes, archives and systems keep thumbnails and removed files."""


def visible_folders(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted, without hidden ones and links that lead up."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_visible_folder(entry) and not _leads_up(entry))


def visible_files(folder: str | Path) -> Iterator[str]:
    """Yield the files below a folder, and links whose file is gone; none where there is no such folder.

    Hidden files and folders are left out, because notebooks and photo viewers keep copies and thumbnails in them, and
    so are STORAGE_FOLDERS. A folder that cannot be read raises an OSError, as its images would be missing without a
    message.
    """
    if not Path(folder).is_dir():
        return
    # Folders come before links, so that a file that both lead to has the path without the link.
    folders, links, seen = deque([Path(folder)]), deque[Path](), set[tuple[int, int]]()
    while folders or links:
        path = folders.popleft() if folders else links.popleft()
        status = path.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            for entry in entries:
                if not _is_dir(entry):
                    if not entry.name.startswith("."):
                        yield entry.path
                elif _is_visible_folder(entry) and not _leads_up(entry):
                    (links if entry.is_symlink() else folders).append(Path(entry.path))


def _is_visible_folder(entry: os.DirEntry[str]) -> bool:
    return _is_dir(entry) and not entry.name.startswith(".") and entry.name.lower() not in STORAGE_FOLDERS


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder; a link that leads back to itself is none, and its file is gone."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _leads_up(entry: os.DirEntry[str]) -> bool:
    """Return whether a link leads to a folder that it lies in, where its content would be found again."""
    return entry.is_symlink() and Path(entry.path).parent.resolve().is_relative_to(Path(entry.path).resolve())
