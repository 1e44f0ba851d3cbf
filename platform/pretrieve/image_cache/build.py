"""Filling the image cache on a Ray cluster: one task for a handful of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ray

from pretrieve.cluster import causes_of_task_errors
from pretrieve.image_cache.store import CacheEntry, read_card, write_entry

IMAGES_PER_TASK = 2_000
"""Enough work to be worth a task, little enough for progress to move."""


def missing_entries(entries: Sequence[CacheEntry], folder: Path) -> list[CacheEntry]:
    """List the entries, each once, that the cache in `folder` does not hold."""
    unique = {entry.key: entry for entry in entries}
    return [entry for entry in unique.values() if read_card(folder / entry.key) is None]


def build_entries(entries: Sequence[CacheEntry], folder: Path, *, on_progress: Callable[[int, int], None]) -> None:
    """Decode entries into the cache, in parallel on the connected cluster.

    Args:
      entries: what `missing_entries` returned.
      folder: the cache, on storage that every node reaches.
      on_progress: called with (images done, images in all).

    Raises:
      OSError: an image's file could not be read, or an entry not be written.
    """
    total = sum(entry.table.num_rows for entry in entries)
    write = ray.remote(num_cpus=1)(_write_entries)
    pending = {write.remote(bundle, folder): sum(e.table.num_rows for e in bundle) for bundle in _bundles(entries)}
    done = 0
    on_progress(done, total)
    while pending:
        finished, _ = ray.wait(list(pending), num_returns=1)
        with causes_of_task_errors():
            ray.get(finished)
        done += sum(pending.pop(reference) for reference in finished)
        on_progress(done, total)


def _write_entries(entries: Sequence[CacheEntry], folder: Path) -> None:
    for entry in entries:
        write_entry(entry, folder / entry.key)


def _bundles(entries: Sequence[CacheEntry]) -> list[list[CacheEntry]]:
    bundles: list[list[CacheEntry]] = [[]]
    images = 0
    for entry in entries:
        if images >= IMAGES_PER_TASK:
            bundles.append([])
            images = 0
        bundles[-1].append(entry)
        images += entry.table.num_rows
    return [bundle for bundle in bundles if bundle]
