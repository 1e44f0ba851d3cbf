"""Stage: for Co-Tuning, how the source's categories relate to each target's classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key, derived_seed
from pretrieve.artifacts.sealed_files import is_kept, sealing
from pretrieve.backbones import Backbone
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.study_inputs import StudyInputs
from pretrieve.stages.trial_features import TrialFeaturesStage
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.fine_tuning import LabelledImages

RELATIONSHIP_VERSION = 1
"""Raise it when the same images give another relationship."""

RELATIONSHIPS = "relationships"
HELD_OUT_FRACTION = 0.2
"""Of each class's training images, as in the original: they choose and calibrate the regression."""

BATCH_SIZE = 64

REGRESSION_S_PER_CLASS = 0.05
"""Seconds of the calibrated logistic regression for each class of the target (measured on 101 and 1,000 classes)."""


@dataclass(frozen=True)
class RelationshipRequest:
    """One relationship that a study needs.

    Attributes:
      images: the target's training images, cropped as for evaluation.
      estimate: `calibrated`, by logistic regression as the original does, or `direct`.
      seed: draws the images to hold out.
    """

    backbone: Backbone
    images: StoredRows
    num_target_classes: int
    estimate: Literal["calibrated", "direct"]
    seed: int

    @property
    def key(self) -> str:
        """Hash of everything that decides the relationship."""
        return content_key(
            kind="relationship",
            version=RELATIONSHIP_VERSION,
            backbone=self.backbone.identity,
            images=self.images.origin if self.images.rows else self.images.folders[0].name,
            estimate=self.estimate,
            seed=self.seed,
        )


class RelationshipStage(Stage[Mapping[str, Path]]):
    """Learns, for Co-Tuning, how the source's categories relate to each target's classes; a file for each target."""

    name = "relationships"
    place = 80

    def load(self, context: Context) -> Mapping[str, Path] | None:
        """Find the relationships learned before; an empty mapping without Co-Tuning."""
        paths = _paths(context)
        return paths if all(map(is_kept, paths.values())) else None

    def make(self, context: Context) -> None:
        """Learn what is missing, each target in a Ray task of its own.

        Raises:
          UserError: a relationship cannot be learned from a target's images.
        """
        paths = _paths(context)
        missing = [name for name, path in paths.items() if not is_kept(path)]
        with context.clock.stage(self.name, total=len(paths), done=len(paths) - len(missing)) as progressed:
            context.cluster.connect()
            num_cpus, num_gpus = whole_node()
            relate = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_relate)
            pending = [relate.remote(_request(context, name), paths[name], num_cpus) for name in missing]
            for number, reference in enumerate(pending, start=1):
                with causes_of_task_errors():
                    ray.get(reference)
                progressed(number, len(pending))

    def num_pieces(self, context: Context) -> int:
        return len(self.artifacts(context))

    def artifacts(self, context: Context) -> list[Path]:
        return list(_paths(context).values())

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        settings, targets = context.settings, context.get(ImageSetsStage).targets.values()
        if not settings.relating or context.find(RelationshipStage) is not None:
            return None
        speed = next(iter(measured.speeds.values()))
        num_images = sum(target.num_images("train") for target in targets)
        seconds = num_images / (speed.scored_per_s * speed.num_side_by_side) + speed.process_s
        if settings.training.relationship == "calibrated":
            seconds += REGRESSION_S_PER_CLASS * sum(target.num_classes for target in targets)
        return StageForecast(self.name, seconds, f"{len(settings.targets)} targets")


def study_inputs(context: Context) -> StudyInputs:
    """Return all inputs of the trials, made where they are not in the store."""
    return replace(
        context.get(ImageCacheStage),
        relationships=context.get(RelationshipStage),
        features=context.get(TrialFeaturesStage),
    )


def find_study_inputs(context: Context) -> StudyInputs | None:
    """Return all inputs of the trials where they are in the store; else None."""
    parts: tuple[type[Stage[Any]], ...] = (ImageCacheStage, TrialFeaturesStage, RelationshipStage)
    return study_inputs(context) if all(context.find(part) is not None for part in parts) else None


def _paths(context: Context) -> dict[str, Path]:
    targets = context.get(ImageSetsStage).targets if context.settings.relating else ()
    return {name: context.store.path(RELATIONSHIPS, f"{_request(context, name).key}.npy") for name in targets}


def _request(context: Context, target: str) -> RelationshipRequest:
    settings, inputs = context.settings, context.get(ImageCacheStage)
    return RelationshipRequest(
        backbone=inputs.backbone,
        images=inputs.images_of(target, ["train"], "square"),
        num_target_classes=inputs.targets[target].num_classes,
        estimate=settings.training.relationship,
        seed=derived_seed(settings.seed, "relationship", target),
    )


def _relate(request: RelationshipRequest, path: Path, num_threads: int) -> None:
    # Here, as scikit-learn is slow to import and few studies use Co-Tuning.
    from pretrieve.training.category_relationship import direct_relationship, hold_out, learn_relationship

    torch.set_num_threads(num_threads)
    images = request.images.images()
    labels, num_classes = images.labels.numpy(), request.num_target_classes
    probabilities = source_probabilities(request.backbone, images)
    if request.estimate == "direct":
        relationship = direct_relationship(probabilities, labels, num_target_classes=num_classes)
    else:
        held_out = hold_out(labels, fraction=HELD_OUT_FRACTION, rng=np.random.default_rng(request.seed))
        relationship = learn_relationship(probabilities, labels, num_target_classes=num_classes, is_held_out=held_out)
    with sealing(path) as temporary, temporary.open("wb") as file:
        np.save(file, relationship)


@torch.inference_mode()
def source_probabilities(backbone: Backbone, images: LabelledImages) -> NDArray[np.float64]:
    """Predict the source's categories for each image: (N, K_source) float64, each row sums to one."""
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
