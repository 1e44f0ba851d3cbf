"""Feature extraction as one Ray Data pipeline over all missing shards of all image tables of a study."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import DataContext, Datasink
from ray.data.block import Block, BlockAccessor

from pretrieve.backbones import Backbone
from pretrieve.cluster import causes_of_task_errors
from pretrieve.features.forward import FeatureNetwork, decode_rows
from pretrieve.features.shards import FeatureRequest, shard_path, write_shard

PROGRESS_INTERVAL_S = 0.5


@dataclass(frozen=True)
class ExtractionResources:
    """How a pipeline divides a cluster.

    Decoding and the writer always find a CPU: a pool of actors that takes them all would wait for its own
    input without end.

    Attributes:
      num_actors: networks that compute at the same time.
      cpus_per_actor: below 1, so that decoding fits beside it on one CPU.
      gpus_per_actor: 1 where the cluster has GPUs, else 0.
    """

    num_actors: int
    cpus_per_actor: float
    gpus_per_actor: float

    @classmethod
    def of_cluster(cls, num_cpus: float, num_gpus: float) -> ExtractionResources:
        """Choose for a cluster of that size.

        >>> ExtractionResources.of_cluster(2, 0).num_actors
        2
        """
        if num_gpus >= 1:
            return cls(num_actors=max(1, min(int(num_gpus), int(num_cpus))), cpus_per_actor=0.5, gpus_per_actor=1)
        return cls(num_actors=max(1, int(num_cpus)), cpus_per_actor=0.5, gpus_per_actor=0)


def extract_features(
    requests: Sequence[FeatureRequest],
    backbone: Backbone,
    folder: Path,
    *,
    on_progress: Callable[[int, int], None],
) -> None:
    """Compute the missing shards of all requests: decode in tasks, forward in an actor pool, write as they come.

    Killed and run again, it computes only the shards that are not there.

    Args:
      requests: image tables and their keys; those that share a key are computed once.
      backbone: the network, its weights on storage that every node reaches.
      folder: the feature cache, likewise.
      on_progress: called with (shards done, shards in all) of this run.

    Raises:
      BackboneError: the weights do not fit.
      OSError: an image's file could not be read, or a shard not be written.
    """
    unique = {request.key: request for request in requests}
    work = [(request, shard) for request in unique.values() for shard in request.missing_shards(folder)]
    if not work:
        return
    backbone.load()  # weights that do not fit are told here in one line, and not by each actor in its own words
    paths = [request.shard_path(folder, shard) for request, shard in work]
    cluster = ray.cluster_resources()
    resources = ExtractionResources.of_cluster(cluster.get("CPU", 1), cluster.get("GPU", 0))
    with _quiet_ray_data(), _watching(paths, on_progress), causes_of_task_errors():
        dataset = ray.data.from_arrow([_with_shard_columns(request, shard) for request, shard in work])
        dataset.map_batches(
            partial(decode_rows, size=backbone.architecture.preprocessing.resize_size),
            batch_size=None,  # a block is a shard; it stays whole from here to its file
            batch_format="pyarrow",
            num_cpus=0.5,
        ).map_batches(
            FeatureNetwork,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(backbone.architecture_name, backbone.weights_path, backbone.identity),
            compute=ray.data.ActorPoolStrategy(size=min(resources.num_actors, len(work))),
            num_cpus=resources.cpus_per_actor,
            num_gpus=resources.gpus_per_actor or None,
        ).write_datasink(_ShardSink(folder), ray_remote_args={"num_cpus": 0.25})


class _ShardSink(Datasink[None]):
    """Writes each block of the pipeline to the file of its shard."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, blocks: Iterable[Block], ctx: Any) -> None:
        for block in blocks:
            table = BlockAccessor.for_block(block).to_arrow()
            for name in pc.unique(table["shard"]).to_pylist():
                self._write_shard(table.filter(pc.equal(table["shard"], name)), name)

    def _write_shard(self, rows: pa.Table, name: str) -> None:
        key, shard, num_shards, num_rows = name.split("/")
        if rows.num_rows != int(num_rows):
            raise RuntimeError(f"shard {name} must arrive whole, but {rows.num_rows} rows came")
        path = shard_path(self._folder, key, int(shard), int(num_shards))
        write_shard(rows.drop_columns(["shard"]), path)


def _with_shard_columns(request: FeatureRequest, shard: int) -> pa.Table:
    rows = request.shard_rows(shard)
    name = f"{request.key}/{shard}/{request.num_shards}/{rows.num_rows}"
    return rows.append_column("shard", pa.array([name] * rows.num_rows, pa.string()))


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Keep Ray Data from drawing over the study's own progress, and from splitting shards."""
    context, log = DataContext.get_current(), logging.getLogger("ray.data")
    before = (context.enable_progress_bars, context.target_max_block_size, log.level)
    context.enable_progress_bars, context.target_max_block_size = False, None
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.target_max_block_size = before[:2]
        log.setLevel(before[2])


@contextmanager
def _watching(paths: Sequence[Path], on_progress: Callable[[int, int], None]) -> Iterator[None]:
    """Report how many of the files exist while the block runs, and once at its end."""
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(PROGRESS_INTERVAL_S):
            on_progress(sum(path.exists() for path in paths), len(paths))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        on_progress(sum(path.exists() for path in paths), len(paths))
