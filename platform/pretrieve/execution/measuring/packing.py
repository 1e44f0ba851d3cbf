"""Measuring how many trials should share a GPU, or how many threads each should have, for the most trials an hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ray
import torch

from pretrieve.cluster import causes_of_task_errors
from pretrieve.execution.compute import ComputeSettings, node_resources
from pretrieve.execution.measuring.speed import Probe, Speed, measure_side_by_side

MEASURED_S = 4.0
"""How long each number of trials side by side trains; it scores for half as long."""

MEMORY_MARGIN = 0.1
"""Share of a GPU's memory that stays free, for larger batches of other cells and for other programs."""

MIN_GAIN = 0.05
"""More trials side by side must be faster together by this fraction. Otherwise fewer are better: each ends earlier, and
a measurement of seconds is not more precise."""


@dataclass(frozen=True)
class Packing:
    """The best number of trials that share a device, their speed, and all measurements in order."""

    num_side_by_side: int
    speed: Speed
    tried: tuple[Speed, ...]

    @property
    def gain(self) -> float:
        """Trials an hour, divided by those of one trial at a time."""
        alone = min(self.tried, key=lambda speed: speed.num_side_by_side)
        return self.speed.total_steps_per_s / alone.total_steps_per_s


def pack(measure: Callable[[int], Speed | None], candidates: Sequence[int]) -> Packing | None:
    """Try rising numbers of trials side by side until more trials are not faster together.

    `measure` returns None for a number of trials that do not fit into memory together. Returns the smallest number that
    gives about the most steps a second together; None if not even the first fits.
    """
    tried: list[Speed] = []
    best: Speed | None = None
    for number in candidates:
        if tried and not _fits(tried[-1], number):
            break
        speed = measure(number)
        if speed is None:
            break
        tried.append(speed)
        if number > candidates[0] and not _fits(speed, number):
            break
        if best is None or speed.total_steps_per_s > (1 + MIN_GAIN) * best.total_steps_per_s:
            best = speed
        elif speed.total_steps_per_s < (1 - MIN_GAIN) * best.total_steps_per_s:
            break  # the device is busy: still more trials would only slow one another down
    return None if best is None else Packing(best.num_side_by_side, best, tuple(tried))


def _fits(measured: Speed, number: int) -> bool:
    """Return whether `number` trials would fit into memory: trying too many would disturb others on the device."""
    return not measured.memory_bytes or number * measured.peak_bytes <= (1 - MEMORY_MARGIN) * measured.memory_bytes


def gpu_candidates(num_cpus: int, cpus_per_trial: int) -> list[int]:
    """List the numbers of trials that may share a GPU that has `num_cpus` CPUs beside it.

    >>> gpu_candidates(16, 2), gpu_candidates(3, 1)
    ([1, 2, 3, 4, 6, 8], [1, 2, 3])
    """
    return [number for number in (1, 2, 3, 4, 6, 8) if number <= max(1, num_cpus // cpus_per_trial)]


def cpu_candidates(num_cpus: int) -> list[int]:
    """List the numbers of trials side by side that divide the cores of a node evenly.

    >>> cpu_candidates(2), cpu_candidates(12)
    ([1, 2], [1, 2, 3, 4, 6, 12])
    """
    return [number for number in range(1, num_cpus + 1) if num_cpus % number == 0]


@dataclass(frozen=True)
class Node:
    """The node that is measured: the smallest one that could run a trial; `device` names its GPU, or is "CPU"."""

    num_cpus: int
    num_gpus: int
    device: str


def smallest_node() -> Node:
    """Describe the node with the fewest CPUs, among the nodes with GPUs if the connected cluster has any."""
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
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a GPU that torch does not see"


def open_share(compute: ComputeSettings, node: Node) -> str | None:
    """Name the setting that a measurement has to decide; None if the study decides it."""
    if compute.workers_per_trial > 1:
        return None
    if node.num_gpus and compute.gpus_per_trial is None:
        return "gpus_per_trial"
    if compute.cpus_per_trial == "auto" and not (node.num_gpus and compute.gpus_per_trial):
        return "cpus_per_trial"
    return None


def measure_packing(probe: Probe, node: Node, compute: ComputeSettings) -> Packing | None:
    """Find the best number of a probe's trainings side by side on a node; None if not even one fits."""
    shares_gpu = open_share(compute, node) == "gpus_per_trial"

    def measure(number: int) -> Speed | None:
        if shares_gpu:
            request = {"CPU": float(compute.num_cpus), "GPU": 1 / number}
            return measure_side_by_side(probe, number, request, seconds=MEASURED_S)
        threads = node.num_cpus // number
        threaded = replace(probe, num_threads=threads)
        return measure_side_by_side(threaded, number, {"CPU": float(threads)}, seconds=MEASURED_S)

    if shares_gpu:
        return pack(measure, gpu_candidates(node.num_cpus // node.num_gpus, compute.num_cpus))
    return pack(measure, cpu_candidates(node.num_cpus))


def with_packing(compute: ComputeSettings, num_side_by_side: int, node: Node) -> ComputeSettings:
    """Return the settings with the measured share in place of the one that was left open."""
    if open_share(compute, node) == "gpus_per_trial":
        # Rounded down, because Ray counts in ten-thousandths: three rounded-up thirds would be more than one GPU.
        share = int(1e4 / num_side_by_side) / 1e4
        return compute.model_copy(update={"gpus_per_trial": share, "cpus_per_trial": compute.num_cpus})
    return compute.model_copy(update={"cpus_per_trial": node.num_cpus // num_side_by_side})
