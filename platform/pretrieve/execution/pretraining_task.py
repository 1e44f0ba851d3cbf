"""A pre-training as one task of the cluster: where its images lie, and where it leaves its weights and its progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from pretrieve.backbones import find_architecture, keep_backbone
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.image_cache.store import CachedImages
from pretrieve.training.loop import EpochReport
from pretrieve.training.pretraining import PretrainingSpec, pretrain

POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class PretrainingTask:
    """How one pre-training runs.

    Attributes:
      spec: what it computes.
      architecture_name: what it trains.
      images: image-cache entries of the source.
      backbones: folder that its weights are kept in.
      progress_path: file that it writes a line to after each epoch.
    """

    spec: PretrainingSpec
    architecture_name: str
    images: tuple[Path, ...]
    backbones: Path
    progress_path: Path

    def run_on_cluster(self, on_epoch: Callable[[int, int], None]) -> tuple[str, str]:
        """Run it in one Ray task that takes a node's CPUs, or a GPU.

        Args:
          on_epoch: called with (epochs done, epochs in all).

        Returns:
          The identity of the backbone that it keeps, and the kind of device that trained it: `cpu` or `cuda`.

        Raises:
          DivergedError: the loss was not finite.
        """
        num_cpus, num_gpus = whole_node()
        self.progress_path.unlink(missing_ok=True)
        pending = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(PretrainingTask._run).remote(self, num_cpus)
        num_epochs = self.spec.settings.epochs
        while not ray.wait([pending], timeout=POLL_INTERVAL_S)[0]:
            on_epoch(self._num_epochs_done(), num_epochs)
        with causes_of_task_errors():
            made: tuple[str, str] = ray.get(pending)
        on_epoch(num_epochs, num_epochs)
        return made

    def _num_epochs_done(self) -> int:
        path = self.progress_path
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0

    def _run(self, num_threads: int) -> tuple[str, str]:
        torch.set_num_threads(num_threads)
        architecture = find_architecture(self.architecture_name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        images = CachedImages(self.images)
        parts = pretrain(architecture, images, self.spec, device=device, callbacks=[self._write_progress])
        return keep_backbone(architecture, parts, self.backbones).identity, device.type

    def _write_progress(self, report: EpochReport) -> None:
        self.progress_path.parent.mkdir(parents=True, exist_ok=True)
        with self.progress_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": report.epoch, "loss": report.loss_target}) + "\n")
