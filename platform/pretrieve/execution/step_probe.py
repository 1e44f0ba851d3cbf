"""How fast training and scoring are on the machine at hand, measured by doing some: alone, or several side by side."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
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
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.evaluation import EVALUATION_BATCH_SIZE, predict
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import find_objective, make_objective
from pretrieve.training.optimizer import make_optimizer
from pretrieve.training.settings import Hyperparameters, TrainingSettings

WARM_UP_STEPS = 2
"""The first steps choose algorithms and ask for memory."""

REPORT_S = 0.01
"""Telling of an epoch: a line of the spool, and Tune's answer."""

PLACE_TIMEOUT_S = 60.0
"""Processes to be measured side by side wait so long for a node that has room for all."""

MAX_STEPS = 1_000
SOURCE_IMAGES_PER_BATCH = 4
"""The source's stream of a probe is so many batches long: its length costs a step nothing."""


@dataclass(frozen=True)
class Probe:
    """A training whose speed is asked for; its weights are random, of no matter for it.

    Attributes:
      architecture: the network; itself rather than its name, as it may be registered in the asking process alone.
      objective: name of the objective.
      training: the protocol of the trials.
      num_target_classes: outputs of the target head.
      num_source_classes: outputs of the source head; 0 for none.
      pixels: (M, S, S, 3) uint8, M ≥ 1, images of the right size; they stand for as many as there are.
      num_threads: of torch on a CPU.
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
        """Target and source images that pass through the network in a step."""
        uses_source = find_objective(self.objective).uses_source
        source = (self.training.source_batch_size or self.training.batch_size) if uses_source else 0
        return self.training.batch_size + source


@dataclass(frozen=True)
class Speed:
    """What was measured of trainings side by side.

    Attributes:
      num_side_by_side: how many there were.
      steps_per_s: training steps of each, on average.
      scored_per_s: images that each scored, on average.
      start_s: what each needs until its first step, its process being there.
      epoch_s: what an epoch needs beside its steps: its checkpoint, and telling of it.
      process_s: what a process needs until it can begin: it is started, and imports.
      peak_bytes: memory of the largest: of the GPU where there is one, else of the process.
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
        """Steps of all of them together."""
        return self.num_side_by_side * self.steps_per_s


class RepeatedImages:
    """A few images that stand for many: row n is image n modulo M.

    Args:
      pixels: (M, S, S, 3) uint8.
      num_images: N.
      num_classes: K; labels are spread over them.
    """

    def __init__(self, pixels: NDArray[np.uint8], num_images: int, num_classes: int) -> None:
        self._pixels = pixels
        self._labels = torch.arange(num_images) % num_classes

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._labels

    @property
    def aspects(self) -> Tensor:
        """(N,) float32, all 1."""
        return torch.ones(len(self))

    def gather(self, indices: Tensor) -> Tensor:
        """Return the (B, S, S, 3) uint8 images at (B,) `indices`."""
        return torch.from_numpy(self._pixels[indices.numpy() % len(self._pixels)])

    def __len__(self) -> int:
        return len(self._labels)


class _EnoughError(Exception):
    """Ends a measured epoch when its time is over."""


class ProbedTraining:
    """One training of a probe, in the process that measures it.

    Args:
      probe: what to train.
    """

    def __init__(self, probe: Probe) -> None:
        torch.set_num_threads(probe.num_threads)
        self._probe = probe
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        started = time.perf_counter()
        self._make_work()
        second = time.perf_counter()
        # The first of a process finds nothing loaded; trials follow one another in processes that are there.
        self._work = self._make_work()
        start_s = time.perf_counter() - second
        self.train(seconds=0.0)
        predict(self._work.network, self._scored(EVALUATION_BATCH_SIZE), probe.architecture.preprocessing, self._device)

        self._begun = start_s, time.perf_counter() - started

    def _make_work(self) -> FineTuning:
        probe, training = self._probe, self._probe.training
        needs = find_objective(probe.objective)
        num_source = probe.num_source_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone = probe.architecture.build()
            classifier = nn.Linear(probe.architecture.feature_dim, num_source) if needs.uses_relationship else None
        network = TwoHeadNetwork(
            backbone,
            feature_dim=probe.architecture.feature_dim,
            num_target_classes=probe.num_target_classes,
            num_source_classes=num_source,
            source_classifier=classifier,
            generator=torch.Generator().manual_seed(0),
        ).to(self._device)
        relationship = None
        if needs.uses_relationship:
            relationship = np.full((probe.num_target_classes, num_source), 1 / num_source)
        source = None
        if needs.uses_source:
            num_images = SOURCE_IMAGES_PER_BATCH * (probe.images_per_step - training.batch_size)
            source = RepeatedImages(probe.pixels, num_images, max(1, num_source))
        return FineTuning(
            network=network,
            objective=make_objective(
                probe.objective, Hyperparameters(lr=1e-6, source_weight=1.0), relationship=relationship
            ),
            target=RepeatedImages(probe.pixels, MAX_STEPS * training.batch_size, probe.num_target_classes),
            source=source,
            preprocessing=probe.architecture.preprocessing,
            settings=training.model_copy(update={"epochs": 1, "gradient_gap": False}),
            hyperparameters=Hyperparameters(lr=1e-6),
            seed=0,
            device=self._device,
        )

    def train(self, seconds: float) -> float:
        """Train for so long, after the steps of warming up, and return steps per second; 0.0 seconds warm up alone."""
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
        """Score images for so long, at least one batch, and return images per second."""
        started, num_images = time.perf_counter(), 0
        while num_images == 0 or time.perf_counter() - started < seconds:
            images = self._scored(EVALUATION_BATCH_SIZE)
            predict(self._work.network, images, self._probe.architecture.preprocessing, self._device)
            num_images += len(images)
        return num_images / (time.perf_counter() - started)

    def _scored(self, num_images: int) -> RepeatedImages:
        return RepeatedImages(self._probe.pixels, num_images, self._probe.num_target_classes)

    def begun(self) -> tuple[float, float]:
        """Return the seconds that it took to make the training, and those until it was warm as well."""
        return self._begun

    def epoch_s(self) -> float:
        """Write a checkpoint, on this node's own disk, and return the seconds that an epoch needs beside its steps."""
        work = self._work
        optimizer = make_optimizer(work.network, work.hyperparameters, work.settings)
        for parameter in work.network.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            CheckpointFile(Path(folder) / "probe.pt").save(1, work.network, optimizer)
            return time.perf_counter() - started + REPORT_S

    def memory(self) -> tuple[int, int, int]:
        """Return the bytes it took at most, those of the GPU that are taken by all, and the GPU's (0, 0 on a CPU)."""
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            return torch.cuda.max_memory_reserved(self._device), total - free, total
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0, 0


def measure_side_by_side(
    probe: Probe, num_side_by_side: int, request: Mapping[str, float], *, seconds: float
) -> Speed | None:
    """Train and score a probe in several processes at once on the connected cluster.

    Args:
      probe: what to measure.
      num_side_by_side: processes.
      request: CPUs and GPUs of each, by Ray's names.
      seconds: of training that are measured, and half as many of scoring.

    Returns:
      What was measured; None where they do not fit into the GPU's memory together.
    """
    options: dict[str, Any] = {"num_cpus": request.get("CPU", 0), "num_gpus": request.get("GPU", 0)}
    group = _one_place(num_side_by_side, request)
    if group is not None:
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    actors: list[Any] = [ray.remote(ProbedTraining).options(**options).remote(probe) for _ in range(num_side_by_side)]
    asked_at = time.perf_counter()
    try:
        with causes_of_task_errors():
            begun = ray.get([actor.begun.remote() for actor in actors])
            process_s = time.perf_counter() - asked_at - max(warm_s for _, warm_s in begun)
            epochs = ray.get([actor.epoch_s.remote() for actor in actors])
            steps = ray.get([actor.train.remote(seconds) for actor in actors])
            scored = ray.get([actor.score.remote(seconds / 2) for actor in actors])
            memory = ray.get([actor.memory.remote() for actor in actors])
    except (torch.OutOfMemoryError, ray.exceptions.RayActorError) as error:
        if _is_out_of_memory(error):
            return None
        raise
    finally:
        for actor in actors:
            ray.kill(actor)
        if group is not None:
            ray.util.remove_placement_group(group)
    return Speed(
        num_side_by_side=num_side_by_side,
        steps_per_s=_mean(steps),
        scored_per_s=_mean(scored),
        start_s=max(start_s for start_s, _ in begun),
        epoch_s=_mean(epochs),
        process_s=process_s,
        # A process on a GPU takes more than its tensors: each has a context of its own.
        peak_bytes=max(max(own, of_all // num_side_by_side) for own, of_all, _ in memory),
        memory_bytes=max(total for _, _, total in memory),
    )


def _one_place(num_side_by_side: int, request: Mapping[str, float]) -> PlacementGroup | None:
    """Reserve one node, and one GPU, for processes that are to share it: on several nodes Ray would spread them.

    Returns:
      None where no node has the room for long; they are then placed as Ray sees fit.
    """
    whole = {name: math.ceil(num_side_by_side * amount) for name, amount in request.items() if amount > 0}
    if not whole:
        return None
    group: PlacementGroup = ray.util.placement_group([whole], strategy="STRICT_PACK")
    if group.wait(timeout_seconds=PLACE_TIMEOUT_S):
        return group
    ray.util.remove_placement_group(group)
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    # An error in an actor's constructor reaches the caller as that actor's death, with the cause in its words.
    return isinstance(error, torch.OutOfMemoryError) or "OutOfMemoryError" in str(error)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
