"""How much disk a study's folder and the caches of a storage take, by kind; for quotas and for people."""

from __future__ import annotations

import os
from pathlib import Path

OTHER = "other"

STUDY_FOLDERS = ("checkpoints", "refits", "artifacts", "spool", "audits", "cards", "tune-trials", "tune-refits")
STUDY_FILES = ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlflow.db-journal")
DATABASE = "mlflow.db"


def study_disk_use(folder: Path) -> dict[str, int]:
    """Measure a study's folder.

    Args:
      folder: of the study; it may be absent, or be written to meanwhile.

    Returns:
      Bytes that the disk gives to each of STUDY_FOLDERS, to DATABASE with what SQLite keeps beside it, and to OTHER.
    """
    use = dict.fromkeys((*STUDY_FOLDERS, DATABASE, OTHER), 0)
    for name, num_bytes in _by_entry(folder).items():
        use[name if name in STUDY_FOLDERS else DATABASE if name in STUDY_FILES else OTHER] += num_bytes
    return use


def cache_disk_use(cache: Path) -> dict[str, int]:
    """Measure the shared caches of a storage.

    Args:
      cache: the folder that holds a folder for each kind, such as `features` and `images`; it may be absent.

    Returns:
      Bytes that the disk gives to each kind that is there.
    """
    return _by_entry(cache)


def _by_entry(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _bytes_of(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _bytes_of(entry: os.DirEntry[str]) -> int:
    """Return the bytes on disk of a file, or of all below a folder; links count as themselves, so none leads away."""
    try:
        own = entry.stat(follow_symlinks=False).st_blocks * 512
        if not entry.is_dir(follow_symlinks=False):
            return own
        with os.scandir(entry.path) as below:
            return own + sum(_bytes_of(each) for each in below)
    except (FileNotFoundError, NotADirectoryError):  # a writer renamed or removed it meanwhile
        return 0
