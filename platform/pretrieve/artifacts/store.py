"""The store of artifacts that the studies of a storage share: their paths, and removing those that are not used."""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pretrieve.artifacts.locks import DRIVER_LOCK, sole_driver
from pretrieve.artifacts.sealed_files import TEMPORARY_SUFFIX
from pretrieve.errors import UserError

BACKBONES = "backbones"
"""Kept unless named: pre-training again on a GPU would give other weights, and so other keys for all trials."""

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class ArtifactStore:
    """A folder `root` with a folder for each kind of artifact; each sealed file is named by the key of its inputs."""

    root: Path

    def path(self, kind: str, name: str) -> Path:
        """Return the path of an artifact, which may be absent."""
        return self.root / kind / name


@dataclass(frozen=True)
class CacheItem:
    """A file or folder of a cache, made under one key.

    `used_s` is the time of the last write or read of one of its files, in seconds since 1970. A file system records
    reads at most daily, or, mounted with `noatime`, never.
    """

    kind: str  # the cache, such as `features` or `images`
    path: Path
    num_bytes: int  # on disk
    used_s: float

    @property
    def is_half(self) -> bool:
        """Whether a killed writer left it; no key leads to it."""
        return self.path.name.startswith(".")


def cache_items(cache: Path) -> list[CacheItem]:
    """List the items of the caches by kind, the least recently used first; `cache` holds a folder for each kind.

    `cache` may be absent.
    """
    items = [
        _measure(kind.name, path)
        for kind in cache.glob("*")
        if kind.is_dir()
        for path in kind.iterdir()
        if not path.name.startswith(".") or path.name.endswith(TEMPORARY_SUFFIX)
    ]
    return sorted(items, key=lambda item: (item.kind, item.used_s, item.path.name))


def _measure(kind: str, path: Path) -> CacheItem:
    stats = [path.lstat(), *(Path(folder, name).lstat() for folder, _, names in os.walk(path) for name in names)]
    # The times of a folder itself change with each use, even with this walk.
    used_s = max(max(stat.st_mtime, stat.st_atime) for stat in stats[1:] or stats)
    return CacheItem(kind, path, sum(stat.st_blocks * 512 for stat in stats), used_s)


def removable_items(
    items: Sequence[CacheItem],
    *,
    now_s: float,
    kinds: Collection[str] = (),
    unused_days: float | None = None,
    max_bytes: int | None = None,
) -> list[CacheItem]:
    """Choose items to remove, the least recently used first: unfinished ones, ones unused for long, and more if needed.

    Args:
      items: of the storage.
      now_s: the current time, seconds since 1970.
      kinds: the caches to choose from; empty: all but `backbones`.
      unused_days: items that were not used for so long are chosen.
      max_bytes: limit for all caches together; the least recently used items are chosen until it holds.

    Raises:
      UserError: there is no such kind; the message names the existing ones.
    """
    known = {item.kind for item in items}
    unknown = sorted(set(kinds) - known)
    if unknown:
        raise UserError(
            f"kind must be one of {', '.join(sorted(known)) or '(there is no cache)'}, but is {unknown[0]!r}"
        )
    chosen = [item for item in items if (item.kind in kinds if kinds else item.kind != BACKBONES)]
    used_before_s = -math.inf if unused_days is None else now_s - unused_days * SECONDS_PER_DAY
    removed = [item for item in chosen if item.is_half or item.used_s < used_before_s]
    others = sorted(set(chosen).difference(removed), key=lambda item: item.used_s)
    limit_bytes = math.inf if max_bytes is None else max_bytes
    excess_bytes = sum(item.num_bytes for item in items) - sum(item.num_bytes for item in removed) - limit_bytes
    for item in others:
        if excess_bytes > 0:
            removed.append(item)
            excess_bytes -= item.num_bytes
    return sorted(removed, key=lambda item: item.used_s)


def remove_items(storage: Path, items: Sequence[CacheItem]) -> None:
    """Remove items of the caches of a storage; a study makes again those that it needs.

    Raises:
      StudyInUseError: a study of the storage runs and may read them; nothing is removed.
    """
    with ExitStack() as stack:
        for lock in sorted(storage.glob(f"*/{DRIVER_LOCK}")):
            stack.enter_context(sole_driver(lock.parent))
        for path in (item.path for item in items):
            # Renamed first, so that a reader finds the whole item or nothing.
            gone = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
            path.rename(gone)
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink()
