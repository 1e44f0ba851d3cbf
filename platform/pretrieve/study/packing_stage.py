"""Before the trials: what each gets of a GPU, or how many threads, measured where the study leaves it open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import ray
import torch

from pretrieve.atomic_files import read_json, write_json
from pretrieve.backbones import find_architecture
from pretrieve.cluster import causes_of_task_errors
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import content_key
from pretrieve.search.compute import ComputeSettings, TrialResources, node_resources
from pretrieve.search.packing import Packing, cpu_candidates, gpu_candidates, pack
from pretrieve.search.step_probe import Probe, Speed, measure_side_by_side
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.stage_clock import StageClock
from pretrieve.training.trial_spec import TrialTask

PROBE_VERSION = 1
SECONDS_EACH = 4.0
NUM_PROBE_IMAGES = 64


@dataclass(frozen=True)
class Node:
    """The node that is measured: the smallest one that could run a trial.

    Attributes:
      num_cpus: its CPUs.
      num_gpus: its GPUs.
      device: name of its GPU, or of no GPU.
    """

    num_cpus: int
    num_gpus: int
    device: str

    @property
    def cpus_per_gpu(self) -> int:
        """CPUs that stand beside each GPU."""
        return max(1, self.num_cpus // max(1, self.num_gpus))


def settle_packing(tasks: Sequence[TrialTask], cluster: LazyCluster, cache: Path, clock: StageClock) -> None:
    """Measure what a trial is to get, where the study leaves it open, and tell the cluster's connection.

    Measured once for each network, image size, batch and kind of node, and kept: a study that goes on later goes on
    with the same threads, and with the same numbers.

    Args:
      tasks: trials that are to run, at least one.
      cluster: connected.
      cache: folder of packings.
      clock: passes on what was chosen.
    """
    node = smallest_node()
    open_field = open_share(cluster.compute, node)
    if open_field is None:
        return
    task = max(tasks, key=lambda each: len(each.source) > 0)  # with a source stream, the larger batch, where there is
    path = cache / f"{_key(task, cluster.compute, node)}.json"
    if path.exists():
        number = int(read_json(path)["num_side_by_side"])
    else:
        packing = measure_packing(probe_of_task(task), node, cluster.compute)
        if packing is None:
            return  # one trial alone does not fit: the trial itself tells, after it has tried smaller parts
        number = packing.num_side_by_side
        write_json(path, asdict(packing) | {"device": node.device, "gain": packing.gain})
        clock.notice(_told(packing, node, open_field))
    cluster.compute = with_packing(cluster.compute, number, node)


class TrialPlaces:
    """What each trial gets of the cluster, settled when the first one is to run.

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
            settle_packing(self._examples(), self._cluster, self._cache, self._clock)
            self._is_settled = True
        return self._cluster.trial_resources()


def smallest_node() -> Node:
    """Describe the node of the connected cluster that has the fewest CPUs among those with most kinds of resource."""
    nodes = [node for node in node_resources() if node.get("CPU", 0)]
    with_gpus = [node for node in nodes if node.get("GPU", 0)] or nodes
    node = min(with_gpus, key=lambda each: each.get("CPU", 0))
    num_gpus = int(node.get("GPU", 0))
    device = "CPU"
    if num_gpus:
        with causes_of_task_errors():
            device = ray.get(ray.remote(num_gpus=1)(_device_name).remote())
    return Node(int(node.get("CPU", 1)), num_gpus, device)


def _device_name() -> str:
    # A cluster may count GPUs that torch does not see.
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a GPU that torch does not see"


def open_share(compute: ComputeSettings, node: Node) -> str | None:
    """Name the setting that a measurement is to decide; None where the study decides it."""
    if compute.workers_per_trial > 1:
        return None
    if node.num_gpus and compute.gpus_per_trial is None:
        return "gpus_per_trial"
    if compute.cpus_per_trial == "auto" and not (node.num_gpus and compute.gpus_per_trial):
        return "cpus_per_trial"
    return None


def measure_packing(
    probe: Probe, node: Node, compute: ComputeSettings, *, seconds: float = SECONDS_EACH
) -> Packing | None:
    """Measure numbers of a probe's training side by side on a node.

    Returns:
      The best; None where not even one fits.
    """
    if open_share(compute, node) == "gpus_per_trial":

        def measure(number: int) -> Speed | None:
            share = {"CPU": float(compute.num_cpus), "GPU": 1 / number}
            return measure_side_by_side(probe, number, share, seconds=seconds)

        return pack(measure, gpu_candidates(node.cpus_per_gpu, compute.num_cpus))

    def measure_threads(number: int) -> Speed | None:
        threads = node.num_cpus // number
        threaded = Probe(**{**vars(probe), "num_threads": threads})
        return measure_side_by_side(threaded, number, {"CPU": float(threads)}, seconds=seconds)

    return pack(measure_threads, cpu_candidates(node.num_cpus))


def with_packing(compute: ComputeSettings, num_side_by_side: int, node: Node) -> ComputeSettings:
    """Return the settings with what was left open decided."""
    if open_share(compute, node) == "gpus_per_trial":
        # Rounded down, as Ray counts in ten-thousandths: three times a rounded-up third would be more than one.
        return compute.model_copy(
            update={"gpus_per_trial": int(1e4 / num_side_by_side) / 1e4, "cpus_per_trial": compute.num_cpus}
        )
    return compute.model_copy(update={"cpus_per_trial": node.num_cpus // num_side_by_side})


def probe_of_task(task: TrialTask) -> Probe:
    """Describe what a trial trains."""
    images = CachedImages(task.train)
    rows = torch.arange(min(NUM_PROBE_IMAGES, len(images)))
    return Probe(
        architecture=find_architecture(task.architecture_name),
        objective=task.spec.objective,
        training=task.training,
        num_target_classes=task.num_target_classes,
        num_source_classes=task.num_source_classes,
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
        batch_size=task.training.batch_size,
        source_batch_size=task.training.source_batch_size,
        compute=compute.model_dump(mode="json", include={"cpus_per_trial", "gpus_per_trial"}),
        node=asdict(node),
    )


def _told(packing: Packing, node: Node, field: str) -> str:
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
