"""Before the trials: what each gets of a GPU, or how many threads, measured where the study leaves it open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from pretrieve.atomic_files import read_json, write_json
from pretrieve.backbones import find_architecture
from pretrieve.execution.compute import ComputeSettings, TrialResources
from pretrieve.execution.measuring.packing import (
    Node,
    Packing,
    measure_packing,
    open_share,
    smallest_node,
    with_packing,
)
from pretrieve.execution.measuring.probe import NUM_IMAGES, Probe
from pretrieve.execution.trial_task import TrialTask
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import content_key
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.stage_clock import StageClock

PROBE_VERSION = 1


class ResourceShares:
    """What each trial gets of the cluster, settled when the first one is to run.

    What the study leaves open is measured once for each network, image size, batch and kind of node, and kept: a study
    that goes on later goes on with the same threads, and with the same numbers.

    Args:
      examples: makes one trial of each cell.
      cluster: connected to then.
      cache: folder of packings.
      clock: passes on what was chosen.
    """

    def __init__(
        self, examples: Callable[[], Sequence[TrialTask]], cluster: LazyCluster, cache: Path, clock: StageClock
    ) -> None:
        self._examples = examples
        self._cluster = cluster
        self._cache = cache
        self._clock = clock
        self._is_settled = False

    def resources(self) -> TrialResources:
        """Return what each trial gets.

        Raises:
          ResourceError: no node has what a trial asks for.
        """
        self._cluster.connect()
        if not self._is_settled:
            self._cluster.compute = self._settled(self._cluster.compute, smallest_node())
            self._is_settled = True
        return self._cluster.trial_resources()

    def _settled(self, compute: ComputeSettings, node: Node) -> ComputeSettings:
        open_field = open_share(compute, node)
        if open_field is None:
            return compute
        # With a source stream, the larger batch, where there is one.
        task = max(self._examples(), key=lambda each: len(each.source) > 0)
        path = self._cache / f"{_key(task, compute, node)}.json"
        if path.exists():
            return with_packing(compute, int(read_json(path)["num_side_by_side"]), node)
        packing = measure_packing(probe_of_task(task), node, compute)
        if packing is None:
            return compute  # one trial alone does not fit: it reports that itself, after it has tried smaller parts
        write_json(path, asdict(packing) | {"device": node.device, "gain": packing.gain})
        self._clock.notice(_description(packing, node, open_field))
        return with_packing(compute, packing.num_side_by_side, node)


def probe_of_task(task: TrialTask) -> Probe:
    """Describe what a trial trains."""
    images = CachedImages(task.train)
    rows = torch.arange(min(NUM_IMAGES, len(images)))
    return Probe(
        architecture=find_architecture(task.architecture_name),
        objective=task.spec.objective,
        training=task.spec.training,
        num_target_classes=task.spec.num_target_classes,
        num_source_classes=task.spec.num_source_classes,
        pixels=images.gather(rows).numpy(),
        num_threads=task.num_threads,
    )


def _key(task: TrialTask, compute: ComputeSettings, node: Node) -> str:
    architecture = find_architecture(task.architecture_name)
    return content_key(
        kind="packing",
        version=PROBE_VERSION,
        architecture=architecture.name,
        preprocessing=architecture.preprocessing.to_dict(),
        objective=task.spec.objective,
        batch_size=task.spec.training.batch_size,
        source_batch_size=task.spec.training.source_batch_size,
        engine=task.spec.training.augmentation.engine,
        compute=compute.model_dump(mode="json", include={"cpus_per_trial", "gpus_per_trial"}),
        node=asdict(node),
    )


def _description(packing: Packing, node: Node, field: str) -> str:
    measured = ", ".join(f"{speed.num_side_by_side}: {speed.total_steps_per_s:.3g}" for speed in packing.tried)
    number = packing.num_side_by_side
    if field == "gpus_per_trial":
        chosen = f"{number} trials share each GPU ({node.device})"
    else:
        chosen = f"each trial has {node.num_cpus // number} of {node.num_cpus} CPUs"
    return (
        f"{chosen}: {packing.gain:.2f} times the trials an hour of one at a time (training steps a second of so many "
        f"side by side: {measured}); compute.{field} overrides it"
    )
