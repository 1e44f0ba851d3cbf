"""Filling the image cache on a Ray cluster: a task decodes several small entries or a part of a large one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import ray

from pretrieve.artifacts.locks import remove_leftovers
from pretrieve.cluster import causes_of_task_errors
from pretrieve.image_cache.entries import IMAGES_PER_PART, CacheEntry, EntryPart, finish_entry, is_finished

IMAGES_PER_TASK = IMAGES_PER_PART
"""Small parts share a task until it has at least this many images."""

TASKS_PER_CPU = 2
"""Limit on submitted tasks: if the table holds encoded images, the rows of waiting tasks take Ray's memory."""


def missing_entries(entries: Sequence[CacheEntry], folder: Path) -> list[CacheEntry]:
    """List the entries, each once, that are missing or damaged in the cache in `folder`."""
    unique = {entry.key: entry for entry in entries}
    return [entry for entry in unique.values() if not is_finished(folder / entry.key)]


def build_entries(entries: Sequence[CacheEntry], folder: Path, *, on_progress: Callable[[int, int], None]) -> None:
    """Decode entries, as `missing_entries` returns them, into the cache, in parallel on the connected cluster.

    The cache `folder` is on storage that every node can reach. The finished parts of an interrupted build are used
    again, and its temporary folders are removed. Damaged entries are decoded again. `on_progress` is called with
    (images done, images in all). Raises OSError if an image's file could not be read, or an entry not be written.
    """
    remove_leftovers(folder)
    total = sum(entry.table.num_rows for entry in entries)
    done = 0
    on_progress(done, total)
    by_key = {entry.key: entry for entry in entries}
    absent = Counter({entry.key: len(entry.parts()) for entry in entries})
    for parts in _write_bundles(_bundles(part for entry in entries for part in entry.parts()), folder):
        for part in parts:
            absent[part.key] -= 1
            if absent[part.key] == 0:
                finish_entry(by_key[part.key], folder)
        done += sum(part.table.num_rows for part in parts)
        on_progress(done, total)


def _write_bundles(bundles: Iterator[list[EntryPart]], folder: Path) -> Iterator[list[EntryPart]]:
    write = ray.remote(num_cpus=1)(_write_parts)
    pending: dict[ray.ObjectRef[None], list[EntryPart]] = {}
    while True:
        while len(pending) < TASKS_PER_CPU * ray.cluster_resources().get("CPU", 1) and (bundle := next(bundles, None)):
            pending[write.remote(bundle, folder)] = bundle
        if not pending:
            return
        finished, _ = ray.wait(list(pending), num_returns=1)
        with causes_of_task_errors():
            ray.get(finished)
        yield from (pending.pop(reference) for reference in finished)


def _write_parts(parts: Sequence[EntryPart], folder: Path) -> None:
    for part in parts:
        part.write(folder)


def _bundles(parts: Iterable[EntryPart]) -> Iterator[list[EntryPart]]:
    bundle: list[EntryPart] = []
    num_images = 0
    for part in parts:
        bundle.append(part)
        num_images += part.table.num_rows
        if num_images >= IMAGES_PER_TASK:
            yield bundle
            bundle, num_images = [], 0
    if bundle:
        yield bundle
