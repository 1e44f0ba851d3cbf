"""The resources that a trial may use, and its share of the connected cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import ray
from pydantic import Field, field_validator, model_validator

from pretrieve.errors import ResourceError
from pretrieve.settings_model import SettingsModel, followed_path


class ComputeSettings(SettingsModel):
    """The resources that a trial may use.

    Attributes:
      cpus_per_trial: CPU cores, also torch's threads. `auto` on CPUs measures, before the first trial, which number
        gives the most trials an hour; beside GPUs it is one. The number of threads changes the last digits of a result,
        so `auto` keeps its measurement for each kind of node.
      gpus_per_trial: share of a GPU. None on a cluster with GPUs measures, before the first trial, which share gives
        the most trials an hour, or gives each of several workers a whole GPU; without GPUs it is 0.
      workers_per_trial: processes that train one trial together. Each gets these CPUs and GPUs and an equal part of
        every batch.
      image_scratch: folder on each node's own disk for copies of the decoded images, for a storage on the network;
        None reads them from the storage.
      max_silence_s: seconds without a step after which a trial counts as hung; it is ended and started again.
    """

    cpus_per_trial: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    workers_per_trial: Annotated[int, Field(ge=1)] = 1
    image_scratch: Path | None = None
    max_silence_s: Annotated[float, Field(gt=0)] = 1800.0

    @property
    def num_cpus(self) -> int:
        """CPU cores of a trial; one while `auto` is not yet decided."""
        return 1 if self.cpus_per_trial == "auto" else self.cpus_per_trial

    @field_validator("image_scratch")
    @classmethod
    def _is_absolute(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        followed = followed_path(folder)
        if not followed.is_absolute():
            raise ValueError(f"must be an absolute path, as processes run in folders of their own, but is {folder}")
        return followed

    @field_validator("gpus_per_trial")
    @classmethod
    def _is_share_or_whole(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError("more than one GPU must be a whole number of them")
        return gpus

    @model_validator(mode="after")
    def _workers_share_no_gpu(self) -> ComputeSettings:
        # NCCL, which averages their gradients, refuses two processes on one GPU.
        if self.workers_per_trial > 1 and self.gpus_per_trial is not None and 0 < self.gpus_per_trial < 1:
            raise ValueError(
                f"gpus_per_trial must be 0 or whole where workers_per_trial is {self.workers_per_trial}, as several "
                f"workers cannot share a GPU, but is {self.gpus_per_trial:g}; leave it out for one each"
            )
        return self


WAITING_REQUEST = {"memory": 1.0}
"""Request of a process that only waits for its workers: one byte of memory, because Tune refuses an empty request. Any
share of a CPU would leave the workers without a place on a cluster that has exactly their CPUs."""


@dataclass(frozen=True)
class TrialResources:
    """The resources of each trial on the connected cluster: CPUs and GPUs of each of its workers.

    `num_shares` is the number of workers that the cluster can run at a time.
    """

    cpus: int
    gpus: float
    num_workers: int = 1
    num_shares: int = 1

    @classmethod
    def on_cluster(cls, settings: ComputeSettings, nodes: Sequence[Mapping[str, float]]) -> TrialResources:
        """Decide the share of a trial; `nodes` are the resources of each node, by Ray's names.

        Raises ResourceError if no node can run one worker, or all nodes together cannot run the workers of one trial.
        Ray would wait for such resources without end.
        """
        gpus = settings.gpus_per_trial
        if gpus is None:
            share = 0.25 if settings.workers_per_trial == 1 else 1.0
            gpus = share if any(node.get("GPU", 0) for node in nodes) else 0.0
        num_shares = sum(num_shares_of(node, settings.num_cpus, gpus) for node in nodes)
        largest = [f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes]
        if num_shares < settings.workers_per_trial:
            subject, for_each, remedy = "a trial must fit on one node", "", ""
            if settings.workers_per_trial > 1:
                subject = f"the {settings.workers_per_trial} workers of a trial must fit on the nodes"
                for_each, remedy = " for each", ", or workers_per_trial"
            raise ResourceError(
                f"{subject}, but compute asks for {settings.num_cpus} CPUs and {gpus:g} GPUs{for_each}, and the nodes "
                f"have: {'; '.join(sorted(set(largest)))}; lower compute.cpus_per_trial or gpus_per_trial{remedy}"
            )
        return cls(settings.num_cpus, gpus, settings.workers_per_trial, num_shares)

    @property
    def num_concurrent(self) -> int:
        """How many trials the cluster runs at a time."""
        return max(1, self.num_shares // self.num_workers)

    def worker(self) -> dict[str, float]:
        """Return the request of one worker, by Ray's names."""
        return {"CPU": float(self.cpus), **({"GPU": self.gpus} if self.gpus else {})}

    def bundle(self) -> dict[str, float]:
        """Return the request of the process that runs a trial: its only worker, or the one that waits for several."""
        return self.worker() if self.num_workers == 1 else WAITING_REQUEST


def num_shares_of(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers, each with these CPUs and GPUs, a node runs at a time."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    # A share of a GPU lies on one GPU: three shares of 0.4 do not fit on one.
    num_gpus = int(node.get("GPU", 0))
    by_gpu = by_cpu if not gpus else num_gpus * int(1 / gpus + 1e-9) if gpus <= 1 else int(num_gpus // gpus)
    return min(by_cpu, by_gpu)


def node_resources() -> list[dict[str, float]]:
    """Return the resources of each living node of the connected cluster, by Ray's names."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
