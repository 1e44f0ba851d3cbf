"""Feature extraction as one Ray Data pipeline over all missing shards of all image tables of a study."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy

from pretrieve.backbones import Architecture, Backbone, Preprocessing
from pretrieve.cluster import carrying_errors, causes_of_task_errors
from pretrieve.features.forward import FeatureNetwork, decode_rows
from pretrieve.features.stored_features import FeatureRequest, write_shard

SETTLING_S = 1.0
"""How long a busy cluster is watched: Ray reports the resources of a finished task as free about 0.1 s late."""


@dataclass(frozen=True)
class ExtractionResources:
    """How a pipeline divides the free resources of a cluster among actors, which compute, and tasks that decode.

    Without GPUs, one actor per CPU both decodes and computes, so that none waits for another. With GPUs, decoding uses
    all CPUs and the actors request none. If no CPU is free, a single actor or decoder runs and requests none, because
    whatever holds the CPUs may be waiting for these features.
    """

    num_actors: int
    cpus_per_actor: int
    gpus_per_actor: int
    cpus_per_decoder: int

    @classmethod
    def of_free(cls, num_cpus: float, num_gpus: float, *, has_gpus: bool) -> ExtractionResources:
        """Choose for these free CPUs and GPUs; busy GPUs of the cluster are waited for.

        >>> ExtractionResources.of_free(2, 0, has_gpus=False)
        ExtractionResources(num_actors=2, cpus_per_actor=1, gpus_per_actor=0, cpus_per_decoder=1)
        """
        cpus_each = 1 if num_cpus >= 1 else 0
        if has_gpus:
            return cls(max(1, int(num_gpus)), cpus_per_actor=0, gpus_per_actor=1, cpus_per_decoder=cpus_each)
        return cls(max(1, int(num_cpus)), cpus_per_actor=cpus_each, gpus_per_actor=0, cpus_per_decoder=cpus_each)

    @classmethod
    def of_cluster(cls) -> ExtractionResources:
        """Choose for what is free now in the connected cluster."""
        total, deadline = ray.cluster_resources(), time.monotonic() + SETTLING_S
        while True:
            free = ray.available_resources()
            idle = all(free.get(kind, 0) >= total.get(kind, 0) for kind in ("CPU", "GPU"))
            if idle or time.monotonic() >= deadline:
                return cls.of_free(free.get("CPU", 0), free.get("GPU", 0), has_gpus=total.get("GPU", 0) >= 1)
            time.sleep(SETTLING_S / 20)


def extract_features(
    requests: Sequence[FeatureRequest], backbone: Backbone, folder: Path, *, on_progress: Callable[[int, int], None]
) -> None:
    """Compute the missing shards of all requests in an actor pool; each actor writes its shards.

    If it is stopped and run again, it computes only the missing shards. Requests with the same key are computed once.
    Every node must reach the storage of the weights and of the feature cache `folder`. `on_progress` is called with
    (shards done, shards in all) of this run after each shard. Raises BackboneError if the weights do not fit, and
    OSError if an image's file could not be read or a shard not be written.
    """
    unique = {request.key: request for request in requests}.values()
    work = [(request, shard) for request in unique for shard in request.missing_shards(folder)]
    if not work:
        return
    backbone.load_feature_network()  # finds faults of the weights here, not in an actor on another machine
    on_progress(0, len(work))
    with _quiet_ray_data(), causes_of_task_errors():
        # Not from_arrow: it measures each block in a task of one CPU, and would wait forever if none is free.
        blocks = [_pack_shard(r.shard_path(Path(), shard), r.shard_rows(shard)) for r, shard in work]
        written = _write_features(blocks, backbone, folder, ExtractionResources.of_cluster())
        done = 0
        for paths in written.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            done += len(cast("pa.Table", paths))
            on_progress(done, len(work))


def _write_features(
    shards: list[pa.Table], backbone: Backbone, folder: Path, resources: ExtractionResources
) -> Dataset:
    """Build the pipeline from packed shards to the names of the written ones."""
    architecture = backbone.architecture
    blocks: Dataset = ray.data.from_blocks(shards)
    if resources.gpus_per_actor:
        blocks = blocks.map_batches(
            partial(_decode_shard, preprocessing=architecture.preprocessing),
            batch_size=1,
            batch_format="pyarrow",
            compute=TaskPoolStrategy() if resources.cpus_per_decoder else TaskPoolStrategy(size=1),
            num_cpus=resources.cpus_per_decoder,
        )
    return blocks.map_batches(
        _ShardWriter,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_args=(architecture, backbone.weights_path, backbone.identity, folder),
        # One shard is computed and one waits; more would wait for a slow actor while others are idle.
        compute=ActorPoolStrategy(size=min(resources.num_actors, len(shards)), max_tasks_in_flight_per_actor=2),
        num_cpus=resources.cpus_per_actor,
        num_gpus=resources.gpus_per_actor,
    )


def _decode_shard(packed: pa.Table, *, preprocessing: Preprocessing) -> pa.Table:
    path, rows = _unpack_shard(packed)
    with carrying_errors():
        return _pack_shard(path, decode_rows(rows, preprocessing=preprocessing))


class _ShardWriter:
    """Writes packed shards, whose rows hold encoded images or decoded pixels, as files of features."""

    def __init__(self, architecture: Architecture, weights_path: Path, identity: str, folder: Path) -> None:
        torch.set_num_threads(1)  # an actor has one CPU, and there are as many actors as CPUs
        self._network = FeatureNetwork(architecture, weights_path, identity)
        self._folder = folder

    def __call__(self, packed: pa.Table) -> pa.Table:
        path, rows = _unpack_shard(packed)
        is_decoded = "pixels" in rows.column_names
        with carrying_errors():
            features = self._network.from_pixels(rows) if is_decoded else self._network.from_images(rows)
            write_shard(features, self._folder / path)
        return packed.select(["path"])


def _pack_shard(path: Path, rows: pa.Table) -> pa.Table:
    """Put a shard's path and rows into a single row: Ray Data joins and splits blocks, but never rows."""
    columns = [column.combine_chunks() for column in rows.columns]
    structs = pa.StructArray.from_arrays(columns, names=rows.column_names)
    return pa.table({"path": [path.as_posix()], "rows": pa.ListArray.from_arrays([0, rows.num_rows], structs)})


def _unpack_shard(packed: pa.Table) -> tuple[Path, pa.Table]:
    assert packed.num_rows == 1, "batch_size=1"
    structs = packed["rows"].combine_chunks().flatten()
    return Path(packed["path"][0].as_py()), pa.Table.from_struct_array(structs)


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Stop Ray Data from printing over the study's own progress, and from hiding the errors of our functions."""
    context, log = DataContext.get_current(), logging.getLogger("ray.data")
    before = (context.enable_progress_bars, context.raise_original_map_exception, log.level)
    context.enable_progress_bars, context.raise_original_map_exception = False, True
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.raise_original_map_exception = before[:2]
        log.setLevel(before[2])
