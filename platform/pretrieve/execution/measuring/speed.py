"""Measuring the speed of trials side by side, in separate processes on the connected cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import ray
import torch
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pretrieve.cluster import causes_of_task_errors
from pretrieve.errors import ResourceError
from pretrieve.execution.measuring.probe import Probe, ProbeProcess

NODE_TIMEOUT_S = 60.0
"""How long the measured processes wait for one node that has the resources of all."""


@dataclass(frozen=True)
class Speed:
    """The measured speed of trainings side by side.

    Attributes:
      num_side_by_side: number of trainings.
      steps_per_s: training steps of each, on average.
      scored_per_s: images that each scored, on average.
      start_s: from the start in a running process to the first step.
      epoch_s: time of an epoch besides its steps: its checkpoint and its report.
      process_s: start of a process and its imports.
      peak_bytes: memory of the largest training: on the GPU if there is one, else of the process.
      memory_bytes: memory of the GPU; 0 on a CPU.
    """

    num_side_by_side: int
    steps_per_s: float
    scored_per_s: float
    start_s: float
    epoch_s: float
    process_s: float
    peak_bytes: int
    memory_bytes: int

    @property
    def total_steps_per_s(self) -> float:
        """Steps of all trainings together."""
        return self.num_side_by_side * self.steps_per_s


def measure_side_by_side(
    probe: Probe, num_side_by_side: int, request: Mapping[str, float], *, seconds: float
) -> Speed | None:
    """Train and score a probe in several processes at once on the connected cluster.

    Args:
      probe: the training.
      num_side_by_side: number of processes.
      request: CPUs and GPUs of each process, by Ray's names.
      seconds: of measured training; scoring is measured for half as long.

    Returns:
      The speed; None if the trainings do not fit into the GPU's memory together.
    """
    options: dict[str, Any] = {"num_cpus": request.get("CPU", 0), "num_gpus": request.get("GPU", 0)}
    group = _shared_node(num_side_by_side, request)
    if group is not None:
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    actors: list[Any] = [ray.remote(ProbeProcess).options(**options).remote(probe) for _ in range(num_side_by_side)]
    asked_at = time.perf_counter()
    try:
        with causes_of_task_errors():
            started = ray.get([actor.start_times.remote() for actor in actors])
            process_s = time.perf_counter() - asked_at - max(warm_s for _, warm_s in started)
            epochs = ray.get([actor.epoch_s.remote() for actor in actors])
            steps = ray.get([actor.train.remote(seconds) for actor in actors])
            scored = ray.get([actor.score.remote(seconds / 2) for actor in actors])
            memory = ray.get([actor.memory.remote() for actor in actors])
    except (torch.OutOfMemoryError, ray.exceptions.RayActorError) as error:
        # An error in an actor's constructor reaches the caller as the actor's death, with the cause in its message.
        if isinstance(error, torch.OutOfMemoryError) or "OutOfMemoryError" in str(error):
            return None
        raise
    finally:
        for actor in actors:
            ray.kill(actor)
        if group is not None:
            ray.util.remove_placement_group(group)
    return Speed(
        num_side_by_side=num_side_by_side,
        steps_per_s=fmean(steps),
        scored_per_s=fmean(scored),
        start_s=max(start_s for start_s, _ in started),
        epoch_s=fmean(epochs),
        process_s=process_s,
        # A process on a GPU takes more memory than its tensors: each has its own context.
        peak_bytes=max(max(own, of_all // num_side_by_side) for own, of_all, _ in memory),
        memory_bytes=max(total for _, _, total in memory),
    )


def _shared_node(num_side_by_side: int, request: Mapping[str, float]) -> PlacementGroup | None:
    """Reserve one node, and one GPU, for all processes, which Ray would otherwise spread over nodes.

    Returns:
      None if no node has the resources in time; Ray then places the processes.
    """
    whole = {name: math.ceil(num_side_by_side * amount) for name, amount in request.items() if amount > 0}
    if not whole:
        return None
    group: PlacementGroup = ray.util.placement_group([whole], strategy="STRICT_PACK")
    if group.wait(timeout_seconds=NODE_TIMEOUT_S):
        return group
    ray.util.remove_placement_group(group)
    return None


class SpeedBook:
    """A cache of measured speeds, for several forecasts on one cluster; each training is measured for `seconds`."""

    def __init__(self, seconds: float = 6.0) -> None:
        self._seconds = seconds
        self._speeds: dict[tuple[object, ...], Speed] = {}

    def speed(self, probe: Probe, num_side_by_side: int, request: Mapping[str, float]) -> Speed:
        """Return the speed of trainings side by side, measured unless the same kind of training was.

        Raises:
          ResourceError: they do not fit into the GPU together.
        """
        training = probe.training
        alike = (
            *(probe.architecture.name, probe.objective, probe.num_target_classes, probe.num_source_classes),
            *(training.batch_size, training.source_batch_size, training.augmentation, probe.num_threads),
            *(num_side_by_side, *sorted(request.items())),
        )
        if alike not in self._speeds:
            measured = measure_side_by_side(probe, num_side_by_side, request, seconds=self._seconds)
            if measured is None:
                raise ResourceError(
                    f"trials that run at a time must fit into a GPU, but {num_side_by_side} of the objective "
                    f"{probe.objective!r} do not: raise compute.gpus_per_trial, or lower training.batch_size"
                )
            self._speeds[alike] = measured
        return self._speeds[alike]
