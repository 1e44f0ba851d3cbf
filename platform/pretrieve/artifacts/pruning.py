"""Listing and removing the items of the caches that the studies of a storage share."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pretrieve.artifacts.store import TEMPORARY_SUFFIX
from pretrieve.artifacts.study_lock import sole_driver
from pretrieve.errors import UserError

BACKBONES = "backbones"
"""Kept unless named: pre-training again on a GPU would give other weights, and so other keys for all trials."""

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class CacheItem:
    """A file or folder of a cache, made under one key.

    Attributes:
      kind: the cache, such as `features` or `images`.
      path: of the file or folder.
      num_bytes: on disk.
      used_s: time of the last write or read of one of its files, seconds since 1970. A file system records reads at
        most daily, or, mounted with `noatime`, never.
    """

    kind: str
    path: Path
    num_bytes: int
    used_s: float

    @property
    def is_half(self) -> bool:
        """Whether a killed writer left it; no key leads to it."""
        return self.path.name.startswith(".")


def cache_items(cache: Path) -> list[CacheItem]:
    """List the items of the caches by kind, the least recently used first; `cache` holds a folder for each kind.

    `cache` may be absent.
    """
    kinds = sorted(path for path in cache.glob("*") if path.is_dir())
    paths = [(kind.name, path) for kind in kinds for path in kind.iterdir()]
    items = [
        _measure(kind, path)
        for kind, path in paths
        if not path.name.startswith(".") or path.name.endswith(TEMPORARY_SUFFIX)
    ]
    return sorted(items, key=lambda item: (item.kind, item.used_s, item.path.name))


def _measure(kind: str, path: Path) -> CacheItem:
    stats = [path.lstat()]
    for folder, _, names in os.walk(path):
        stats += [Path(folder, name).lstat() for name in names]
    # The times of a folder itself change with each use, even with this walk.
    files = stats[1:] or stats
    used = max(max(stat.st_mtime, stat.st_atime) for stat in files)
    return CacheItem(kind, path, sum(stat.st_blocks * 512 for stat in stats), used)


def removable_items(
    items: Sequence[CacheItem],
    *,
    now_s: float,
    kinds: Collection[str] = (),
    unused_days: float | None = None,
    max_bytes: int | None = None,
) -> list[CacheItem]:
    """Choose items to remove: unfinished ones, ones unused for long, then the least recently used above the limit.

    Args:
      items: of the storage.
      now_s: the current time, seconds since 1970.
      kinds: the caches to choose from; empty: all but `backbones`.
      unused_days: items that were not used for so long are chosen.
      max_bytes: limit for all caches together; the least recently used items are chosen until it holds.

    Returns:
      The chosen items, the least recently used first.

    Raises:
      UserError: there is no such kind; the message names the kinds that there are.
    """
    known = {item.kind for item in items}
    unknown = sorted(set(kinds) - known)
    if unknown:
        raise UserError(
            f"kind must be one of {', '.join(sorted(known)) or '(no cache is there)'}, but is {unknown[0]!r}"
        )
    chosen = [item for item in items if (item.kind in kinds if kinds else item.kind != BACKBONES)]
    chosen.sort(key=lambda item: item.used_s)
    excess_bytes = sum(item.num_bytes for item in items) - max_bytes if max_bytes is not None else 0
    removed = []
    for item in sorted(chosen, key=lambda item: not _is_due(item, now_s, unused_days)):
        if _is_due(item, now_s, unused_days) or excess_bytes > 0:
            removed.append(item)
            excess_bytes -= item.num_bytes
    return sorted(removed, key=lambda item: item.used_s)


def _is_due(item: CacheItem, now_s: float, unused_days: float | None) -> bool:
    is_old = unused_days is not None and now_s - item.used_s > unused_days * SECONDS_PER_DAY
    return item.is_half or is_old


def remove_items(storage: Path, items: Sequence[CacheItem]) -> None:
    """Remove items of the caches of a storage; a study makes again those that it needs.

    Raises:
      StudyInUseError: a study of the storage runs and may read them; nothing is removed.
    """
    with ExitStack() as stack:
        for lock in sorted(storage.glob("*/driver.lock")):
            stack.enter_context(sole_driver(lock.parent))
        for path in [item.path for item in items]:
            # Renamed first, so that a reader finds the whole item or nothing.
            gone = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
            path.rename(gone)
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink()
