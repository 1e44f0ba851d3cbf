"""Stage: for Co-Tuning, how the source's categories relate to each target's classes, by a Ray task; kept by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from pretrieve.atomic_files import replacing
from pretrieve.backbones import Backbone
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.errors import UserError
from pretrieve.image_cache.store import CachedImages
from pretrieve.keys import content_key, derived_seed
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock
from pretrieve.training.augmentation import evaluation_view, to_unit_range
from pretrieve.training.category_relationship import direct_relationship, hold_out, learn_relationship

RELATIONSHIP_VERSION = 1
"""Raise it when the same images give another relationship."""

METHOD = "co_tuning"
HELD_OUT_FRACTION = 0.2
"""Of each class's training images, as the original holds out: they choose and calibrate the regression."""

BATCH_SIZE = 64

Estimate = Literal["calibrated", "direct"]


@dataclass(frozen=True)
class RelationshipRequest:
    """One relationship that a study needs.

    Attributes:
      backbone: with its pre-trained classifier.
      images: image-cache entry of the target's training images, as evaluation sees them.
      num_target_classes: K of the target.
      estimate: `calibrated`, by logistic regression as the original, or `direct`.
      seed: draws what is held out.
    """

    backbone: Backbone
    images: Path
    num_target_classes: int
    estimate: Estimate
    seed: int

    @property
    def key(self) -> str:
        """Hash of everything that decides the relationship."""
        return content_key(
            kind="relationship",
            version=RELATIONSHIP_VERSION,
            backbone=self.backbone.identity,
            images=self.images.name,
            estimate=self.estimate,
            seed=self.seed,
        )


def relate_categories(
    settings: StudySettings, materials: Materials, cluster: LazyCluster, clock: StageClock
) -> Mapping[str, Path]:
    """Learn the relationship of each target, where the study has the method and the cache has none.

    Returns:
      The file of each target's relationship; none without the method.

    Raises:
      UserError: a target's images allow no relationship.
    """
    if METHOD not in settings.methods:
        return {}
    requests = {name: _request(settings, materials, name) for name in materials.targets}
    folder = settings.cache / "relationships"
    paths = {name: folder / f"{request.key}.npy" for name, request in requests.items()}
    missing = {paths[name]: request for name, request in requests.items() if not paths[name].exists()}
    with clock.stage("relationships", total=len(paths), done=len(paths) - len(missing)) as progressed:
        if missing:
            cluster.connect()
            _relate_on_cluster(missing, on_progress=progressed)
    return paths


def check_classifier(settings: StudySettings, backbone: Backbone) -> None:
    """Refuse Co-Tuning with a backbone that has no pre-trained classifier, before anything is computed with it.

    Raises:
      UserError: the study has the method, and the weights hold no classifier.
    """
    if METHOD in settings.methods and backbone.load_classifier() is None:
        raise UserError(
            f"the method {METHOD!r} needs the classifier that the backbone was pre-trained with, but the weights of "
            f"{backbone.architecture_name} hold none; give weights that do, or leave the method out"
        )


def _request(settings: StudySettings, materials: Materials, target: str) -> RelationshipRequest:
    return RelationshipRequest(
        backbone=materials.backbone,
        images=materials.evaluation_folder(target, "train"),
        num_target_classes=materials.targets[target].num_classes,
        estimate=settings.training.relationship,
        seed=derived_seed(settings.seed, "relationship", target),
    )


def _relate_on_cluster(missing: Mapping[Path, RelationshipRequest], *, on_progress: Callable[[int, int], None]) -> None:
    num_cpus, num_gpus = whole_node()
    run = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_relate)
    pending = [run.remote(request, path, num_cpus) for path, request in missing.items()]
    for number, reference in enumerate(pending, start=1):
        with causes_of_task_errors():
            ray.get(reference)
        on_progress(number, len(pending))


def _relate(request: RelationshipRequest, path: Path, num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    images = CachedImages([request.images])
    labels = images.labels.numpy()
    probabilities = source_probabilities(request.backbone, images)
    if request.estimate == "direct":
        relationship = direct_relationship(probabilities, labels, num_target_classes=request.num_target_classes)
    else:
        held_out = hold_out(labels, fraction=HELD_OUT_FRACTION, rng=np.random.default_rng(request.seed))
        relationship = learn_relationship(
            probabilities, labels, num_target_classes=request.num_target_classes, is_held_out=held_out
        )
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, relationship)


@torch.inference_mode()
def source_probabilities(backbone: Backbone, images: CachedImages) -> NDArray[np.float64]:
    """Predict the source's categories for each image, by the backbone and its pre-trained classifier.

    Returns:
      (N, K_source) float64, rows sum to one.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = backbone.load_classifier()
    assert classifier is not None, "checked before the task was sent"
    network = torch.nn.Sequential(backbone.load(), classifier).to(device).eval()
    parts: list[NDArray[np.float64]] = []
    for rows in torch.arange(len(images)).split(BATCH_SIZE):
        pixels = to_unit_range(images.gather(rows), device)
        logits = network(evaluation_view(pixels, backbone.architecture.preprocessing))
        parts.append(logits.double().softmax(1).cpu().numpy())
    return np.concatenate(parts)
