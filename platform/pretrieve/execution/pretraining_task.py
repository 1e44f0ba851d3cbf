"""A pre-training as one task of the cluster: its images, and the files of its weights and its progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from pretrieve.backbones import find_architecture, keep_backbone
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.training.loop import EpochReport
from pretrieve.training.pretraining import PretrainingSpec, pretrain

POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class PretrainingTask:
    """One pre-training on image-cache entries of the source.

    `backbones` is the folder for its weights. The file `progress_path` gets a line after each epoch.
    """

    spec: PretrainingSpec
    architecture_name: str
    images: tuple[Path, ...]
    backbones: Path
    progress_path: Path

    def run_on_cluster(self, on_epoch: Callable[[int, int], None]) -> tuple[str, str]:
        """Run it in one Ray task that takes all CPUs of a node, and a GPU where there is one.

        `on_epoch` is called with (epochs done, epochs in all). Returns the identity of the kept backbone, and the kind
        of device that trained it: `cpu` or `cuda`. Raises DivergedError if the loss was not finite.
        """
        num_cpus, num_gpus = whole_node()
        self.progress_path.unlink(missing_ok=True)
        pending = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(PretrainingTask._run).remote(self, num_cpus)
        num_epochs = self.spec.settings.epochs
        while not ray.wait([pending], timeout=POLL_INTERVAL_S)[0]:
            path = self.progress_path
            on_epoch(len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0, num_epochs)
        with causes_of_task_errors():
            made: tuple[str, str] = ray.get(pending)
        on_epoch(num_epochs, num_epochs)
        return made

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
