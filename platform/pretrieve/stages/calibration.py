"""Measure the cluster for a forecast: a few training steps of each objective, and the decoding of a few images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from pretrieve.backbones import find_architecture
from pretrieve.cluster import whole_node
from pretrieve.components import OBJECTIVES
from pretrieve.data.image_set import ImageSet
from pretrieve.execution.compute import TrialResources, num_shares_of
from pretrieve.execution.measuring.packing import measure_packing, open_share, smallest_node, with_packing
from pretrieve.execution.measuring.speed import NUM_IMAGES, Probe, Speed, SpeedBook
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.entries import CacheEntry, write_entry
from pretrieve.stages.backbone_settings import BackboneSettings

if TYPE_CHECKING:
    from pretrieve.stages.context import Context
    from pretrieve.stages.image_sets import ImageSets

TUNE_START_S = 3.0
"""Seconds that Tune needs before it starts its first process, and to clean up at its end."""


@dataclass(frozen=True)
class Calibration:
    """The measured speeds and sizes.

    Attributes:
      speeds: of trials by objective, with as many side by side as the cluster runs at a time.
      whole_node: speeds of the pre-trainings that are missing, which have a node to themselves; by stage.
      decode_s: seconds in which one CPU decodes an image, by image set.
      resources: what a trial gets, including what the study leaves open.
      connect_s: seconds to connect to Ray.
      num_cpus: of the cluster.
      image_size: side of the cached squares in pixels.
      features_per_s: images that one process maps to the features that selections are made from, each second.
      feature_dim: D of these features.
      weight_bytes: size of the network's weights.
    """

    speeds: Mapping[str, Speed]
    whole_node: Mapping[str, Speed]
    decode_s: Mapping[str, float]
    resources: TrialResources
    connect_s: float
    num_cpus: int
    image_size: int
    features_per_s: float
    feature_dim: int
    weight_bytes: int

    @property
    def tune_start_s(self) -> float:
        """Seconds until the first of several trials trains."""
        return TUNE_START_S + max(speed.process_s for speed in self.speeds.values())

    def decoding_s(self, counts: Mapping[str, int]) -> float:
        """Seconds in which the cluster decodes so many images of each image set."""
        return sum(count * self.decode_s[name] for name, count in counts.items()) / self.num_cpus

    @property
    def image_bytes(self) -> int:
        """Bytes of a cached square."""
        return 3 * self.image_size**2


def calibrate(
    context: Context, sets: ImageSets, book: SpeedBook, *, pretrains: Mapping[str, BackboneSettings]
) -> Calibration:
    """Measure what a forecast needs, on the cluster that the study would run on, and connect to it.

    `book` holds the speeds that were measured before; `pretrains` the networks that are yet to be pre-trained, by
    stage.

    Raises:
      ResourceError: the cluster does not have what a trial asks for.
    """
    settings, cluster, source, targets = context.settings, context.cluster, sets.source, sets.targets
    started = time.perf_counter()
    cluster.connect()
    connect_s = time.perf_counter() - started
    architecture = find_architecture(settings.backbone.architecture_name)
    size = architecture.preprocessing.resize_size
    with_images = [each for each in (*targets.values(), source) if each.num_classes]
    decoded = {each.name: _decoded(each, size) for each in with_images}
    sample = next(pixels for pixels, _ in decoded.values() if len(pixels))
    probes = {}
    rows = [settings.method(name) for name in settings.method_names]
    # Also of a study that trains nothing, whose features are extracted at the speed of scoring.
    for objective in dict.fromkeys(row.trained_with for row in rows if not row.is_fitted) or ("finetune",):
        needs = OBJECTIVES.find(objective)
        probes[objective] = Probe(
            architecture=architecture,
            objective=objective,
            training=settings.training.fitted_to(sets.largest_target),
            num_target_classes=max(target.num_classes for target in targets.values()),
            num_source_classes=source.num_classes if needs.uses_source_head or needs.uses_relationship else 0,
            pixels=sample,
            num_threads=settings.compute.num_cpus,
        )
    node = smallest_node()
    if open_share(cluster.compute, node) is not None:
        largest = max(probes.values(), key=lambda probe: probe.images_per_step)
        packing = measure_packing(largest, node, cluster.compute)
        if packing is not None:
            cluster.compute = with_packing(cluster.compute, packing.num_side_by_side, node)
    resources = cluster.trial_resources()
    on_node = num_shares_of({"CPU": node.num_cpus, "GPU": node.num_gpus}, resources.cpus, resources.gpus)
    side_by_side = max(1, min(resources.num_concurrent, on_node))
    speeds = {
        name: book.speed(replace(probe, num_threads=resources.cpus), side_by_side, resources.worker())
        for name, probe in probes.items()
    }
    selecting, speed = find_architecture(settings.selection_backbone.architecture_name), next(iter(speeds.values()))
    if selecting != architecture:
        scored = Probe(
            architecture=selecting,
            objective="finetune",
            # Only its passes without gradients are read off: small batches leave a large network its memory.
            training=settings.training.model_copy(update={"batch_size": 2, "source_batch_size": None}),
            num_target_classes=2,
            num_source_classes=0,
            pixels=_decoded(with_images[-1], selecting.preprocessing.resize_size)[0],
            num_threads=resources.cpus,
        )
        speed = book.speed(scored, side_by_side, resources.worker())
    return Calibration(
        speeds,
        whole_node={stage: _pretraining_speed(backbone, source, book) for stage, backbone in pretrains.items()},
        decode_s={name: seconds for name, (_, seconds) in decoded.items()},
        resources=resources,
        connect_s=connect_s,
        num_cpus=int(ray.cluster_resources().get("CPU", 1)),
        image_size=size,
        features_per_s=speed.scored_per_s,
        feature_dim=selecting.selection_dim,
        weight_bytes=sum(4 * parameter.numel() for parameter in architecture.build().parameters()),
    )


def _pretraining_speed(backbone: BackboneSettings, source: ImageSet, book: SpeedBook) -> Speed:
    pretrain, architecture = backbone.pretrain, find_architecture(backbone.architecture_name)
    assert pretrain is not None, "asked only of networks that are pre-trained"
    num_cpus, num_gpus = whole_node()
    probe = Probe(
        architecture=architecture,
        objective="finetune",
        training=pretrain.training,
        num_target_classes=source.num_classes,
        num_source_classes=0,
        pixels=_decoded(source, architecture.preprocessing.resize_size)[0],
        num_threads=num_cpus,
    )
    return book.speed(probe, 1, {"CPU": float(num_cpus), "GPU": float(num_gpus)})


def _decoded(image_set: ImageSet, size: int) -> tuple[NDArray[np.uint8], float]:
    """Decode a few images, spread over the set; return them with the seconds an image took."""
    table = image_set.splits["train"]
    rows = np.unique(np.linspace(0, table.num_rows - 1, NUM_IMAGES).astype(np.int64))
    entry = CacheEntry(key="probe", table=table.take(rows), size=size, layout="whole")
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_entry(entry, Path(folder) / entry.key)
        took_s = time.perf_counter() - started
        images = CachedImages([Path(folder) / entry.key])
        return images.gather(torch.arange(len(images))).numpy(), took_s / len(rows)
