"""Stage: the share of a GPU, or the number of threads, of each trial, measured where the study does not set it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.backbones import find_architecture
from pretrieve.components import OBJECTIVES
from pretrieve.execution.compute import TrialResources
from pretrieve.execution.measuring.packing import (
    Node,
    Packing,
    measure_packing,
    open_share,
    smallest_node,
    with_packing,
)
from pretrieve.execution.measuring.speed import NUM_IMAGES, Probe
from pretrieve.execution.trial_task import TrialTask
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.stages._base import Stage
from pretrieve.stages.cells import CellsStage
from pretrieve.stages.context import Context, NotMadeError
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.training.settings import TrainingSettings

PACKINGS = "packings"
PROBE_VERSION = 1


class PackingStage(Stage[TrialResources]):
    """Returns what each trial gets of the cluster, measured where the study does not set it.

    It is measured once for each network, image size, batch and kind of node, and stored. So a study that is resumed has
    the same number of threads, and the same results.
    """

    name = "packing"
    place = 85
    is_shared = True
    is_on_demand = True

    def load(self, context: Context) -> TrialResources | None:
        """Connect to the cluster, and read what was measured on one like it.

        Raises:
          NotMadeError: this walk makes nothing, so it connects to no cluster.
          ResourceError: no node has what a trial asks for.
        """
        if not context.makes:
            raise NotMadeError(self.name)
        context.cluster.connect()
        node, compute = smallest_node(), context.cluster.compute
        if open_share(compute, node) is not None and not all(row.is_fitted for row in context.settings.methods):
            path = _path(context, node)
            if not is_kept(path):
                return None
            if (number := read_sealed_json(path)["num_side_by_side"]) is not None:
                context.cluster.compute = with_packing(compute, number, node)
        return context.cluster.trial_resources()

    def make(self, context: Context) -> None:
        """Train a few steps of the largest trial, with more and more of them side by side."""
        node, compute, task = smallest_node(), context.cluster.compute, _largest(context)
        images = CachedImages(task.train.folders)
        probe = Probe(
            architecture=find_architecture(task.architecture_name),
            objective=task.spec.objective,
            training=_training(context, task),
            num_target_classes=task.spec.num_target_classes,
            num_source_classes=task.spec.num_source_classes,
            pixels=images.gather(torch.arange(min(NUM_IMAGES, len(images)))).numpy(),
            num_threads=task.num_threads,
        )
        packing = measure_packing(probe, node, compute)
        # Where not even one trial fits, the trial itself reports it, after it has tried smaller parts.
        kept: dict[str, Any] = {"num_side_by_side": None}
        if packing is not None:
            kept = asdict(packing) | {"device": node.device, "gain": packing.gain}
            context.clock.notice(_description(packing, node, str(open_share(compute, node))))
        write_sealed_json(_path(context, node), kept)


def _largest(context: Context) -> TrialTask:
    """Return a trial that trains, with a source stream, whose batch is larger, where there is one."""
    tasks = context.get(CellsStage).trial_maker.examples()
    trained = [task for task in tasks if not OBJECTIVES.find(task.spec.objective).is_fitted]
    return max(trained, key=lambda each: len(each.source) > 0)


def _training(context: Context, task: TrialTask) -> TrainingSettings:
    """Return the settings of a trial with the step that it has on the largest target."""
    return task.spec.training.fitted_to(context.get(ImageSetsStage).largest_target)


def _path(context: Context, node: Node) -> Path:
    task = _largest(context)
    architecture, training = find_architecture(task.architecture_name), _training(context, task)
    key = content_key(
        kind="packing",
        version=PROBE_VERSION,
        architecture=architecture.name,
        preprocessing=architecture.preprocessing.to_dict(),
        objective=task.spec.objective,
        batch_size=training.batch_size,
        source_batch_size=training.source_batch_size,
        # What takes memory beside the images.
        **training.model_dump(
            mode="json",
            include={"optimizer", "optimizer_settings", "learns", "weight_average"},
            exclude_defaults=True,
        ),
        compute=context.cluster.compute.model_dump(mode="json", include={"cpus_per_trial", "gpus_per_trial"}),
        node=asdict(node),
    )
    return context.store.path(PACKINGS, f"{key}.json")


def _description(packing: Packing, node: Node, field: str) -> str:
    measured = ", ".join(f"{speed.num_side_by_side}: {speed.total_steps_per_s:.3g}" for speed in packing.tried)
    number = packing.num_side_by_side
    chosen = f"each trial has {node.num_cpus // number} of {node.num_cpus} CPUs"
    if field == "gpus_per_trial":
        chosen = f"{number} trials share each GPU ({node.device})"
    return (
        f"{chosen}: {packing.gain:.2f} times the trials an hour of one at a time (training steps a second of so many "
        f"side by side: {measured}); compute.{field} overrides it"
    )
