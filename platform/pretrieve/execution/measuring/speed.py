"""Measuring how fast a training is, by doing some of it: alone or side by side, in processes of the cluster.

What is trained is a probe: a network with random weights on a few images, whose steps take as long as those of a trial.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import Tensor, nn

from pretrieve.backbones import Architecture
from pretrieve.cluster import causes_of_task_errors
from pretrieve.components import OBJECTIVES, OPTIMIZERS
from pretrieve.components.hyperparameters import LR
from pretrieve.errors import ResourceError, WorkerError
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.evaluation import EVALUATION_BATCH_SIZE, predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

NODE_TIMEOUT_S = 60.0
"""How long the measured processes wait for one node that has the resources of all."""

MEASURED_S = 6.0
"""How long each training of a forecast is measured; it scores for half as long."""

WARM_UP_STEPS = 2
"""The first steps are slower, as they choose algorithms and allocate memory."""

REPORT_S = 0.01
"""Seconds for the report of an epoch: a line of the spool, and Tune's answer."""

NUM_IMAGES = 64
"""Number of different images in a probe; they are repeated."""

ONE_PASS = {"epochs": 1, "steps": None, "min_steps": None, "longer": False}
"""Settings of a training that is one pass over its images."""

MAX_STEPS = 1_000
NUM_SOURCE_BATCHES = 4
"""Length of a probe's source stream; it does not change the time of a step."""


@dataclass(frozen=True)
class Probe:
    """A training whose speed is measured.

    The architecture is not given by name, because only the asking process may have registered it. `num_source_classes`
    is 0 without a source head. `pixels`, (M, S, S, 3) uint8, M ≥ 1, are images of the right size, which are repeated.
    """

    architecture: Architecture
    objective: str
    training: TrainingSettings
    num_target_classes: int
    num_source_classes: int
    pixels: NDArray[np.uint8]
    num_threads: int

    @property
    def images_per_step(self) -> int:
        """Target and source images of a step."""
        uses_source = OBJECTIVES.find(self.objective).uses_source
        source = (self.training.source_batch_size or self.training.batch_size) if uses_source else 0
        return self.training.batch_size + source

    def fine_tuning(self, device: torch.device) -> FineTuning:
        """Build the training, with one epoch that is longer than any measurement."""
        needs, num_source = OBJECTIVES.find(self.objective), self.num_source_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone = self.architecture.build()
            classifier = nn.Linear(self.architecture.feature_dim, num_source) if needs.uses_relationship else None
        source = relationship = None
        if needs.uses_source:
            num_images = NUM_SOURCE_BATCHES * (self.images_per_step - self.training.batch_size)
            source = RepeatedImages(self.pixels, num_images, max(1, num_source))
        if needs.uses_relationship:
            relationship = np.full((self.num_target_classes, num_source), 1 / num_source)
        network = TwoHeadNetwork(
            backbone,
            feature_dim=self.architecture.feature_dim,
            num_target_classes=self.num_target_classes,
            num_source_classes=num_source,
            source_classifier=classifier,
            generator=torch.Generator().manual_seed(0),
        ).to(device)
        read = (*OPTIMIZERS.find(self.training.optimizer).hyperparameters, *needs.hyperparameters)
        hyperparameters = Hyperparameters(**{**{each.read_as: each.example for each in read}, LR.name: 1e-6})
        return FineTuning(
            network=network,
            objective=needs.build(hyperparameters, relationship),
            target=RepeatedImages(self.pixels, MAX_STEPS * self.training.batch_size, self.num_target_classes),
            source=source,
            preprocessing=self.architecture.preprocessing,
            settings=self.training.model_copy(update={**ONE_PASS, "gradient_gap": False}),
            hyperparameters=hyperparameters,
            seed=0,
            device=device,
        )


class RepeatedImages:
    """N images that repeat M images of (M, S, S, 3) uint8: row n is image n modulo M, with label n modulo K."""

    def __init__(self, pixels: NDArray[np.uint8], num_images: int, num_classes: int) -> None:
        self._pixels = pixels
        self.labels = torch.arange(num_images) % num_classes
        self.aspects = torch.ones(num_images)

    def gather(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self._pixels[indices.numpy() % len(self._pixels)])

    def __len__(self) -> int:
        return len(self.labels)


class _EnoughError(Exception):
    """Ends a measured epoch when its time is over."""


class ProbeProcess:
    """Trains a probe in the process that measures it."""

    def __init__(self, probe: Probe) -> None:
        torch.set_num_threads(probe.num_threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._scored = RepeatedImages(probe.pixels, EVALUATION_BATCH_SIZE, probe.num_target_classes)
        started = time.perf_counter()
        probe.fine_tuning(self._device)
        second = time.perf_counter()
        # The second build is measured: the first one loads libraries, and trials run in processes that have them.
        self._work = probe.fine_tuning(self._device)
        start_s = time.perf_counter() - second
        self.train(seconds=0.0)
        self._score_once()
        self._start_times = start_s, time.perf_counter() - started

    def start_times(self) -> tuple[float, float]:
        """Return the seconds to build the training, and the seconds until it was warmed up."""
        return self._start_times

    def train(self, seconds: float) -> float:
        """Warm up, then train for `seconds` and return the steps per second; with 0.0 only warm up."""
        stamps: list[float] = []

        def on_step() -> None:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            stamps.append(time.perf_counter())
            if len(stamps) > WARM_UP_STEPS and stamps[-1] - stamps[WARM_UP_STEPS] >= seconds:
                raise _EnoughError

        with suppress(_EnoughError):
            fine_tune(self._work, on_step=on_step)
        measured = stamps[WARM_UP_STEPS:]
        return (len(measured) - 1) / (measured[-1] - measured[0]) if len(measured) > 1 else 0.0

    def score(self, seconds: float) -> float:
        """Score images for `seconds`, at least one batch, and return images per second."""
        started, num_images = time.perf_counter(), 0
        while num_images == 0 or time.perf_counter() - started < seconds:
            self._score_once()
            num_images += len(self._scored)
        return num_images / (time.perf_counter() - started)

    def _score_once(self) -> None:
        predict_logits(self._work.network, self._scored, self._work.preprocessing, self._device)

    def epoch_s(self) -> float:
        """Write a checkpoint to this node's own disk and return the seconds that an epoch needs besides its steps."""
        work = self._work
        member = work.settings.build_optimizer()
        optimizer = member.build(work.network, work.hyperparameters, work.settings)
        learning = {name: each for name, each in work.network.named_parameters() if each.requires_grad}
        for parameter in learning.values():
            optimizer.state[parameter] = {n: torch.zeros_like(parameter) for n in range(member.num_state_per_weight)}
        averaged = learning if work.settings.weight_average else {}
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            CheckpointFile(Path(folder) / "probe.pt").save(1, work.network, optimizer, averaged)
            return time.perf_counter() - started + REPORT_S

    def memory(self) -> tuple[int, int, int]:
        """Return the peak bytes of this process, bytes in use on the GPU, and bytes of the GPU (0, 0 on a CPU)."""
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            return torch.cuda.max_memory_reserved(self._device), total - free, total
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0, 0


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
    """Train a probe in several processes at once on the connected cluster, for `seconds`, then score for half as long.

    `request` is the CPUs and GPUs of each process, by Ray's names. Returns None if the trainings do not fit into the
    GPU's memory together.
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
    except WorkerError as error:
        if "OutOfMemoryError" in error.what:
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

    Returns None if no node has the resources in time; Ray then chooses the nodes.
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
    """A cache of measured speeds, for several forecasts on one cluster."""

    def __init__(self) -> None:
        self._speeds: dict[tuple[object, ...], Speed] = {}

    def speed(self, probe: Probe, num_side_by_side: int, request: Mapping[str, float]) -> Speed:
        """Return the speed of trainings side by side, measured unless the same kind of training was.

        Raises ResourceError if they do not fit into the GPU together.
        """
        training = probe.training
        alike = (
            *(probe.architecture.name, probe.objective, probe.num_target_classes, probe.num_source_classes),
            *(training.batch_size, training.source_batch_size, training.augmentation, probe.num_threads),
            *(training.optimizer, repr(training.optimizer_settings)),
            *(training.batch_norm, training.learns, training.weight_average, training.max_gradient_norm),
            *(num_side_by_side, *sorted(request.items())),
        )
        if alike not in self._speeds:
            measured = measure_side_by_side(probe, num_side_by_side, request, seconds=MEASURED_S)
            if measured is None:
                raise ResourceError(
                    f"trials that run at a time must fit into a GPU, but {num_side_by_side} of the objective "
                    f"{probe.objective!r} do not: raise compute.gpus_per_trial, or lower training.batch_size"
                )
            self._speeds[alike] = measured
        return self._speeds[alike]
