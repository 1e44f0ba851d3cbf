"""The audit of image tables on a Ray cluster: each task compares a shard of the source with all test images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from pretrieve.audit.calibration import AuditThresholds, calibrate, sample_rows
from pretrieve.audit.leaks import LeakReport, find_leaks
from pretrieve.audit.perceptual_hash import HashedImages, hash_images
from pretrieve.audit.settings import AuditSettings
from pretrieve.cluster import causes_of_task_errors
from pretrieve.data.decode import decode_square, read_content
from pretrieve.errors import ImageSetError

ROWS_PER_SHARD = 1024
"""Source images per task: seconds of work, and a few dozen megabytes of pixels and hashes."""

DEFAULT_SETTINGS = AuditSettings()

TASKS_PER_CPU = 2
"""Limit on submitted tasks: if the table holds encoded images, the rows of waiting tasks take Ray's memory."""


@dataclass(frozen=True)
class DecodedRows:
    """The images of a table that decode: (n, S, S, 3) uint8 RGB, and (n,) int64 values of the column `index`.

    `broken` names the others, as "path: reason".
    """

    images: NDArray[np.uint8]
    indices: NDArray[np.int64]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class _TestSide:
    """What every task compares its shard with."""

    test: HashedImages
    indices: NDArray[np.int64]
    thresholds: AuditThresholds
    settings: AuditSettings


def audit_over_ray(
    source: pa.Table,
    test: pa.Table,
    *,
    settings: AuditSettings = DEFAULT_SETTINGS,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LeakReport:
    """Audit image tables on the connected cluster; see `find_leaks`.

    The result does not depend on the number of shards or CPUs. Broken images are left out and named. If the same table
    is on both sides, its images are paired with themselves; audit train against test instead.

    `source` is an image table, such as a source's train split, a selection of it, or a target's own train split; `test`
    is small enough for the memory of each task. The pairs have the indices of the tables' column `index`. `on_progress`
    is called with (source images done, source images in all).

    Raises:
      ImageSetError: no test image decodes.
      OSError: an image's file cannot be read.
    """
    decoded = decode_table(test, settings.image_size)
    if not len(decoded.images):
        raise ImageSetError(f"a test split must have an image that decodes, but none does: {decoded.broken[:1]}")
    hashed = hash_images(decoded.images, settings, place="the test split")
    thresholds = _calibrate(source, hashed, settings)
    shared = ray.put(_TestSide(hashed, decoded.indices, thresholds, settings))
    shards = _run_shards(source, shared, rows_per_shard, on_progress)
    pairs = sorted((p for each in shards for p in each.pairs), key=lambda pair: (pair.source_index, pair.test_index))
    return LeakReport(
        tuple(pairs),
        thresholds,
        num_source=sum(shard.num_source for shard in shards),
        num_test=len(hashed),
        num_candidates=sum(shard.num_candidates for shard in shards),
        broken_source=tuple(name for shard in shards for name in shard.broken_source),
        broken_test=decoded.broken,
    )


def decode_table(table: pa.Table, size: int) -> DecodedRows:
    """Decode the images of a table to squares, without the broken ones.

    Raises OSError if a file cannot be read at all, which says nothing about its image.
    """
    images: list[NDArray[np.uint8]] = []
    indices: list[int] = []
    broken: list[str] = []
    for index, path, content in zip(*(table[name].to_pylist() for name in ("index", "path", "content")), strict=True):
        try:
            images.append(decode_square(read_content(path, content), size))
            indices.append(index)
        except ImageSetError as error:
            broken.append(f"{path}: {error}")
    stacked = np.stack(images) if images else np.empty((0, size, size, 3), dtype=np.uint8)
    return DecodedRows(stacked, np.array(indices, dtype=np.int64), tuple(broken))


def _calibrate(source: pa.Table, test: HashedImages, settings: AuditSettings) -> AuditThresholds:
    rows = sample_rows(source.num_rows, settings.num_calibration_source, settings.seed, "source")
    sample = decode_table(source.take(rows), settings.image_size).images
    return calibrate(
        hash_images(sample, settings, place="the source"),
        test.take(sample_rows(len(test), settings.num_calibration_test, settings.seed, "test")),
        settings,
    )


def _run_shards(
    source: pa.Table, shared: ray.ObjectRef[_TestSide], rows_per_shard: int, on_progress: Callable[[int, int], None]
) -> Sequence[LeakReport]:
    run = ray.remote(num_cpus=1)(_audit_shard)
    waiting = deque(range(0, source.num_rows, rows_per_shard))
    pending: dict[Any, int] = {}
    results: dict[int, LeakReport] = {}
    done = 0
    on_progress(done, source.num_rows)
    while waiting or pending:
        while waiting and len(pending) < TASKS_PER_CPU * max(1, ray.cluster_resources().get("CPU", 1)):
            start = waiting.popleft()
            pending[run.remote(source.slice(start, rows_per_shard), shared)] = start
        (finished,), _ = ray.wait(list(pending), num_returns=1)
        start = pending.pop(finished)
        with causes_of_task_errors():
            results[start] = ray.get(finished)
        done += min(rows_per_shard, source.num_rows - start)
        on_progress(done, source.num_rows)
    return [results[start] for start in sorted(results)]


def _audit_shard(table: pa.Table, shared: _TestSide) -> LeakReport:
    decoded = decode_table(table, shared.settings.image_size)
    source = hash_images(decoded.images, shared.settings, place="the source")
    found, num_candidates = find_leaks(source, shared.test, shared.thresholds, shared.settings)
    pairs = [
        replace(
            pair, source_index=int(decoded.indices[pair.source_index]), test_index=int(shared.indices[pair.test_index])
        )
        for pair in found
    ]
    return LeakReport(
        tuple(pairs), shared.thresholds, len(source), len(shared.test), num_candidates, broken_source=decoded.broken
    )
