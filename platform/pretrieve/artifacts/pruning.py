"""What the caches that the studies of a storage share hold, and what of it may go."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pretrieve.artifacts.study_lock import sole_driver
from pretrieve.errors import UserError

BACKBONES = "backbones"
"""Kept unless it is named: pre-trained again on a GPU its weights would differ, and with them the key of each trial."""

SECONDS_PER_DAY = 86_400.0
TEMPORARY_SUFFIX = ".tmp"


@dataclass(frozen=True)
class CacheItem:
    """A file or folder of a cache, made under one key.

    Attributes:
      kind: the cache: `features`, `images`, …
      path: of the file or folder.
      num_bytes: that the disk gives to it.
      used_s: when one of its files was last written or read, seconds since 1970. A file system tells of reads no more
        often than daily, or, mounted with `noatime`, never.
    """

    kind: str
    path: Path
    num_bytes: int
    used_s: float

    @property
    def is_half(self) -> bool:
        """Whether a writer that was killed left it; no key leads to it."""
        return self.path.name.startswith(".")


def cache_items(cache: Path) -> list[CacheItem]:
    """List what is in the caches of a storage, by kind, the least recently used first.

    Args:
      cache: the folder that holds a folder for each kind; it may be absent.
    """
    kinds = sorted(path for path in cache.glob("*") if path.is_dir())
    items = [_measure(kind.name, path) for kind in kinds for path in kind.iterdir() if _is_item(path)]
    return sorted(items, key=lambda item: (item.kind, item.used_s, item.path.name))


def _is_item(path: Path) -> bool:
    return not path.name.startswith(".") or path.name.endswith(TEMPORARY_SUFFIX)


def _measure(kind: str, path: Path) -> CacheItem:
    stats = [path.lstat()]
    for folder, _, names in os.walk(path):
        stats += [Path(folder, name).lstat() for name in names]
    # A folder's own times move with what is done in it, such as this walk.
    files = stats[1:] or stats
    used = max(max(stat.st_mtime, stat.st_atime) for stat in files)
    return CacheItem(kind, path, sum(stat.st_blocks * 512 for stat in stats), used)


def may_go(
    items: Sequence[CacheItem],
    *,
    now_s: float,
    kinds: Collection[str] = (),
    unused_days: float | None = None,
    max_bytes: int | None = None,
) -> list[CacheItem]:
    """Choose what to remove: what is half, what was not used for long, then the least recently used that is too much.

    Args:
      items: of the storage.
      now_s: the time, seconds since 1970.
      kinds: the caches to choose from; empty: all but `backbones`.
      unused_days: whatever was not used for so long goes.
      max_bytes: what all caches together may take at the end; the least recently used go until they do.

    Returns:
      What may go, the least recently used first.

    Raises:
      UserError: a kind that is not there; names those that are.
    """
    known = {item.kind for item in items}
    unknown = sorted(set(kinds) - known)
    if unknown:
        raise UserError(
            f"kind must be one of {', '.join(sorted(known)) or '(no cache is there)'}, but is {unknown[0]!r}"
        )
    chosen = [item for item in items if (item.kind in kinds if kinds else item.kind != BACKBONES)]
    chosen.sort(key=lambda item: item.used_s)
    too_much = sum(item.num_bytes for item in items) - max_bytes if max_bytes is not None else 0
    going = []
    for item in sorted(chosen, key=lambda item: not _is_due(item, now_s, unused_days)):
        if _is_due(item, now_s, unused_days) or too_much > 0:
            going.append(item)
            too_much -= item.num_bytes
    return sorted(going, key=lambda item: item.used_s)


def _is_due(item: CacheItem, now_s: float, unused_days: float | None) -> bool:
    is_old = unused_days is not None and now_s - item.used_s > unused_days * SECONDS_PER_DAY
    return item.is_half or is_old


def remove_items(storage: Path, items: Sequence[CacheItem]) -> None:
    """Remove items of a storage's caches; what a study needs of them it makes again.

    Args:
      storage: the folder of studies and caches.
      items: of its caches.

    Raises:
      StudyInUseError: a study of the storage runs, and may be reading them; nothing is removed.
    """
    with ExitStack() as stack:
        for lock in sorted(storage.glob("*/driver.lock")):
            stack.enter_context(sole_driver(lock.parent))
        for item in items:
            _remove(item.path)


def _remove(path: Path) -> None:
    # Renamed first: whoever looks meanwhile finds the whole of it or nothing.
    gone = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    path.rename(gone)
    if gone.is_dir() and not gone.is_symlink():
        shutil.rmtree(gone)
    else:
        gone.unlink()
