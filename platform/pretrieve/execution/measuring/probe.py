"""A training with random weights on a few images; its steps take as long as those of a trial."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pretrieve.backbones import Architecture
from pretrieve.execution.checkpoint import CheckpointFile
from pretrieve.training.evaluation import EVALUATION_BATCH_SIZE, predict
from pretrieve.training.fine_tuning import FineTuning, TrialInputs
from pretrieve.training.loop import fine_tune
from pretrieve.training.objectives import find_objective
from pretrieve.training.optimizer import make_optimizer
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

WARM_UP_STEPS = 2
"""The first steps are slower, as they choose algorithms and allocate memory."""

REPORT_S = 0.01
"""Seconds for the report of an epoch: a line of the spool, and Tune's answer."""

NUM_IMAGES = 64
"""Number of different images in a probe; they are repeated."""

MAX_STEPS = 1_000
SOURCE_IMAGES_PER_BATCH = 4
"""Number of batches in the source stream of a probe; its length does not change the time of a step."""


@dataclass(frozen=True)
class Probe:
    """A training whose speed is measured.

    Attributes:
      architecture: the network. It is not given by name, because only the asking process may have registered it.
      objective: name of the objective.
      training: the settings of the trials.
      num_target_classes: outputs of the target head.
      num_source_classes: outputs of the source head; 0 for none.
      pixels: (M, S, S, 3) uint8, M ≥ 1, images of the right size, which are repeated.
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
        """Target and source images of a step."""
        uses_source = find_objective(self.objective).uses_source
        source = (self.training.source_batch_size or self.training.batch_size) if uses_source else 0
        return self.training.batch_size + source

    def fine_tuning(self, device: torch.device) -> FineTuning:
        """Build the training, with one epoch that is longer than any measurement."""
        needs, num_source = find_objective(self.objective), self.num_source_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone = self.architecture.build()
            classifier = nn.Linear(self.architecture.feature_dim, num_source) if needs.uses_relationship else None
        source = relationship = None
        if needs.uses_source:
            num_images = SOURCE_IMAGES_PER_BATCH * (self.images_per_step - self.training.batch_size)
            source = RepeatedImages(self.pixels, num_images, max(1, num_source))
        if needs.uses_relationship:
            relationship = np.full((self.num_target_classes, num_source), 1 / num_source)
        inputs = TrialInputs(
            architecture=self.architecture,
            backbone=backbone,
            target=RepeatedImages(self.pixels, MAX_STEPS * self.training.batch_size, self.num_target_classes),
            evaluate=RepeatedImages(self.pixels, EVALUATION_BATCH_SIZE, self.num_target_classes),
            source=source,
            source_classifier=classifier,
            relationship=relationship,
        )
        spec = TrialSpec(
            kind="trial",
            target="probe",
            method="probe",
            key="probe",
            objective=self.objective,
            hyperparameters=Hyperparameters(lr=1e-6, source_weight=1.0),
            seed=0,
            training=self.training.model_copy(update={"epochs": 1, "gradient_gap": False}),
            metric="top1",
            num_target_classes=self.num_target_classes,
            num_source_classes=num_source,
        )
        return inputs.fine_tuning(spec, device=device)


class RepeatedImages:
    """N images that repeat M images of (M, S, S, 3) uint8: row n is image n modulo M, with label n modulo K."""

    def __init__(self, pixels: NDArray[np.uint8], num_images: int, num_classes: int) -> None:
        self._pixels = pixels
        self._labels = torch.arange(num_images) % num_classes

    @property
    def labels(self) -> Tensor:
        return self._labels

    @property
    def aspects(self) -> Tensor:
        return torch.ones(len(self))

    def gather(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self._pixels[indices.numpy() % len(self._pixels)])

    def __len__(self) -> int:
        return len(self._labels)


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
        predict(self._work.network, self._scored, self._work.preprocessing, self._device)

    def epoch_s(self) -> float:
        """Write a checkpoint to this node's own disk and return the seconds that an epoch needs besides its steps."""
        work = self._work
        optimizer = make_optimizer(work.network, work.hyperparameters, work.settings)
        for parameter in work.network.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            CheckpointFile(Path(folder) / "probe.pt").save(1, work.network, optimizer)
            return time.perf_counter() - started + REPORT_S

    def memory(self) -> tuple[int, int, int]:
        """Return the peak bytes of this process, bytes in use on the GPU, and bytes of the GPU (0, 0 on a CPU)."""
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            return torch.cuda.max_memory_reserved(self._device), total - free, total
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0, 0
