"""How many trials share a GPU, or how many threads each has: whatever gives the most trials an hour, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ray
import torch

from pretrieve.cluster import causes_of_task_errors
from pretrieve.execution.compute import ComputeSettings, node_resources
from pretrieve.execution.measuring.probe import Probe
from pretrieve.execution.measuring.speed import Speed, measure_side_by_side

MEMORY_MARGIN = 0.1
"""Share of a GPU's memory that stays free: batches of other cells, and what other programs take."""

MIN_GAIN = 0.05
"""More trials side by side must give so much more together, else fewer are better: each is done earlier, and a
measurement of seconds is no truer than that."""

MAX_PER_GPU = 8


@dataclass(frozen=True)
class Packing:
    """What a trial gets, and what was measured of it.

    Attributes:
      num_side_by_side: trials that share the device.
      speed: of them; None where not even one was measured to fit.
      tried: everything that was measured, in that order.
    """

    num_side_by_side: int
    speed: Speed
    tried: tuple[Speed, ...]

    @property
    def gain(self) -> float:
        """Trials an hour over those of one at a time."""
        alone = min(self.tried, key=lambda speed: speed.num_side_by_side)
        return self.speed.total_steps_per_s / alone.total_steps_per_s


def pack(
    measure: Callable[[int], Speed | None], candidates: Sequence[int], *, margin: float = MEMORY_MARGIN
) -> Packing | None:
    """Try numbers of trials side by side until more of them give no more.

    Args:
      measure: measures so many; None where they do not fit into memory together.
      candidates: numbers to try, rising.
      margin: share of the device's memory that stays free, in [0, 1).

    Returns:
      The number that gives the most steps a second together, the smallest where larger ones give hardly more; None
      where not even the first fits.
    """
    tried: list[Speed] = []
    best: Speed | None = None
    for number in candidates:
        if tried and not _fits(tried[-1], number, margin):
            break
        speed = measure(number)
        if speed is None:
            break
        tried.append(speed)
        if number > candidates[0] and not _fits(speed, number, margin):
            break
        if best is None or speed.total_steps_per_s > (1 + MIN_GAIN) * best.total_steps_per_s:
            best = speed
        elif speed.total_steps_per_s < (1 - MIN_GAIN) * best.total_steps_per_s:
            break  # the device is full: still more only stand in one another's way
    return None if best is None else Packing(best.num_side_by_side, best, tuple(tried))


def _fits(measured: Speed, number: int, margin: float) -> bool:
    """Return whether so many of what was measured fit: trying what cannot would disturb who shares the device."""
    return not measured.memory_bytes or number * measured.peak_bytes <= (1 - margin) * measured.memory_bytes


def gpu_candidates(num_cpus: int, cpus_per_trial: int) -> list[int]:
    """List how many trials a GPU may be shared by, with so many CPUs beside it.

    >>> gpu_candidates(16, 2), gpu_candidates(3, 1)
    ([1, 2, 3, 4, 6, 8], [1, 2, 3])
    """
    most = max(1, min(MAX_PER_GPU, num_cpus // cpus_per_trial))
    return [number for number in (1, 2, 3, 4, 6, 8) if number <= most]


def cpu_candidates(num_cpus: int) -> list[int]:
    """List numbers of trials side by side that leave no core of a node without one, and none with two.

    >>> cpu_candidates(2), cpu_candidates(12)
    ([1, 2], [1, 2, 3, 4, 6, 12])
    """
    return [number for number in range(1, num_cpus + 1) if num_cpus % number == 0]


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


def measure_packing(probe: Probe, node: Node, compute: ComputeSettings, *, seconds: float = 4.0) -> Packing | None:
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
        return measure_side_by_side(
            replace(probe, num_threads=threads), number, {"CPU": float(threads)}, seconds=seconds
        )

    return pack(measure_threads, cpu_candidates(node.num_cpus))


def with_packing(compute: ComputeSettings, num_side_by_side: int, node: Node) -> ComputeSettings:
    """Return the settings with what was left open decided."""
    if open_share(compute, node) == "gpus_per_trial":
        # Rounded down, as Ray counts in ten-thousandths: three times a rounded-up third would be more than one.
        return compute.model_copy(
            update={"gpus_per_trial": int(1e4 / num_side_by_side) / 1e4, "cpus_per_trial": compute.num_cpus}
        )
    return compute.model_copy(update={"cpus_per_trial": node.num_cpus // num_side_by_side})
