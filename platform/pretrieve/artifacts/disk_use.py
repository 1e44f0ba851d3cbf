"""How many bytes of disk the folder of a study and the caches of a storage take, by kind."""

from __future__ import annotations

import os
from pathlib import Path

OTHER = "other"

STUDY_FOLDERS = ("checkpoints", "refits", "artifacts", "spool", "audits", "cards", "tune-trials", "tune-refits")
STUDY_FILES = ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlflow.db-journal")
DATABASE = "mlflow.db"


def study_disk_use(folder: Path) -> dict[str, int]:
    """Return the bytes on disk of each of STUDY_FOLDERS, of DATABASE with SQLite's files beside it, and of OTHER.

    The folder may be absent, and may change meanwhile.
    """
    use = dict.fromkeys((*STUDY_FOLDERS, DATABASE, OTHER), 0)
    for name, num_bytes in cache_disk_use(folder).items():
        use[name if name in STUDY_FOLDERS else DATABASE if name in STUDY_FILES else OTHER] += num_bytes
    return use


def cache_disk_use(cache: Path) -> dict[str, int]:
    """Return the bytes on disk of each kind of cache, a folder such as `features`; `cache` itself may be absent."""
    try:
        with os.scandir(cache) as entries:
            return {entry.name: _bytes_of(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _bytes_of(entry: os.DirEntry[str]) -> int:
    """Return the bytes on disk of a file, or of a folder with all in it; a link is counted and not followed."""
    try:
        own = entry.stat(follow_symlinks=False).st_blocks * 512
        if not entry.is_dir(follow_symlinks=False):
            return own
        with os.scandir(entry.path) as below:
            return own + sum(_bytes_of(each) for each in below)
    except (FileNotFoundError, NotADirectoryError):  # a writer renamed or removed it meanwhile
        return 0
