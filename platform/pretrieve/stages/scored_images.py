"""Stage: the identities of each target's test images, by which kept predictions name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.data.image_set import ImageSet
from pretrieve.data.scored_images import IDENTITY_DIGITS, identify_images, read_scored_images, write_scored_images
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.study_inputs import StudyInputs

SCORED_IMAGES = "scored_images"
SCORED_SPLIT = "test"

SCORED_IMAGES_VERSION = 1
"""Raise it when the same images get other identities."""


class ScoredImagesStage(Stage[Mapping[str, Path]]):
    """Identifies the test images of each target, once for each image set; returns the file of each target."""

    name = "scored images"
    place = 72

    def load(self, context: Context) -> Mapping[str, Path] | None:
        inputs = context.get(ImageCacheStage)
        return None if _missing(context, inputs) else _paths(context, inputs)

    def make(self, context: Context) -> None:
        """Read the test images that are not identified yet.

        Raises:
          OSError: an image's file cannot be read.
        """
        inputs = context.get(ImageCacheStage)
        missing, paths = _missing(context, inputs), _paths(context, inputs)
        with context.clock.stage(self.name, total=len(missing)) as progressed:
            for number, name in enumerate(missing, start=1):
                target = inputs.targets[name]
                broken = inputs.images_of(name, [SCORED_SPLIT], "square").broken()
                images = identify_images(target.splits[SCORED_SPLIT], target.class_names, broken)
                write_scored_images(paths[name], images)
                progressed(number, len(missing))

    def artifacts(self, context: Context) -> list[Path]:
        return list(_paths(context, context.get(ImageCacheStage)).values())


def scored_images_path(store: Path, target: ImageSet) -> Path:
    """Return the file of a target's test images in the store, which may be absent."""
    key = content_key(
        kind="scored images",
        version=SCORED_IMAGES_VERSION,
        images=target.fingerprints[SCORED_SPLIT],
        class_names=target.class_names,
    )
    return store / SCORED_IMAGES / f"{key}.json"


def prediction_bytes(target: ImageSet) -> int:
    """Return about how many bytes a refit's predictions take: in the study's folder, and again in MLflow."""
    bytes_per_image = 4 * target.num_classes + 4 + IDENTITY_DIGITS + 4  # scores, label, identity and where it begins
    return 2 * bytes_per_image * target.num_images(SCORED_SPLIT)


def _paths(context: Context, inputs: StudyInputs) -> dict[str, Path]:
    return {name: scored_images_path(context.store.root, target) for name, target in inputs.targets.items()}


def _missing(context: Context, inputs: StudyInputs) -> list[str]:
    return [name for name, path in _paths(context, inputs).items() if not _fits(path, inputs, name)]


def _fits(path: Path, inputs: StudyInputs, name: str) -> bool:
    """Return whether a file is whole and lists as many images as the image cache holds.

    Another version of Pillow may have decoded more images, or fewer, since the file was written.
    """
    broken = inputs.images_of(name, [SCORED_SPLIT], "square").broken()
    num_images = inputs.targets[name].num_images(SCORED_SPLIT) - len(broken)
    return is_kept(path) and len(read_scored_images(path).labels) == num_images
