"""Stage: the image sets of a study, a card of each, and checks that need their sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.artifacts.atomic_files import replacing, write_json
from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.components.hyperparameters import TOP_K
from pretrieve.data.dataset_card import make_card
from pretrieve.data.drawn_sets import drawn_set, folds_of
from pretrieve.data.folder_tree import passed_over_names
from pretrieve.data.image_set import ImageSet
from pretrieve.data.loading import load_source, load_target, load_whole
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import UserError
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

IMAGE_SETS = "image_sets"
CARDS = "cards"

CARD_VERSION = 1
"""Raise it when the same images give another card."""

MAX_IMAGES = {"source": 10_000, "target": 50_000}
"""Images that are read for a card; a larger set is sampled. A source needs only a rough picture."""


@dataclass(frozen=True)
class ImageSets:
    """The source and the targets by name, in the study's order.

    Attributes:
      source: without images in a study that has none.
      wholes: the targets before their splits are drawn, of a study with repeats or folds.
    """

    source: ImageSet
    targets: Mapping[str, ImageSet]
    wholes: Mapping[str, ImageSet] = field(default_factory=dict)

    @property
    def largest_target(self) -> int:
        """The training images of the target that has the most."""
        return max(target.num_images("train") for target in self.targets.values())


class ImageSetsStage(Stage[ImageSets]):
    """Loads the source and the targets, and writes a card of each into the study's folder."""

    name = "image sets"
    place = 10

    def load(self, context: Context) -> ImageSets:
        """Load the sets; the store keeps the cards, and sets that a user's function makes.

        Raises:
          ImageSetError: one of them cannot be read.
          UserError: more is asked for than the source or a target has.
        """
        if context.fold is not None and context.above is not None:
            return context.above.get(FoldsStage)[context.fold]
        if context.above is not None:
            return _drawn_again(context, context.top.get(ImageSetsStage))
        settings, cache = context.settings, context.store.root / IMAGE_SETS
        num_sources = int(settings.source is not None)
        total = num_sources + len(settings.targets)
        with context.clock.stage(self.name, total=total) as progressed:
            source = load_source(settings.source, seed=settings.shared_seed, cache=cache)
            if settings.source is not None:
                _keep_card(context, settings.source, source, "source", partial(progressed, 0, total))
            targets: dict[str, ImageSet] = {}
            wholes: dict[str, ImageSet] = {}
            for number, target in enumerate(settings.targets, start=num_sources):
                progressed(number, total)
                if settings.draws_rows:
                    wholes[target.display_name] = load_whole(target, seed=settings.shared_seed, cache=cache)
                    loaded = _drawn(context, target, wholes[target.display_name])
                else:
                    loaded = load_target(target, seed=settings.seed, cache=cache)
                for warning in _keep_card(context, target, loaded, "target", partial(progressed, number, total)):
                    context.clock.notice(f"{loaded.name}: {warning}")
                targets[loaded.name] = loaded
            progressed(total, total)
        check_sizes(settings, source, targets)
        for name, image_set in targets.items():
            if (num_images := image_set.num_images("train")) < settings.training.batch_size:
                context.clock.notice(smaller_than_a_batch(name, num_images, settings.training.batch_size))
        return ImageSets(source, targets, wholes)

    def artifacts(self, context: Context) -> list[Path]:
        sets = context.get(ImageSetsStage)
        targets = [_card_path(context, target, "target") for target in sets.targets.values()]
        return targets if context.settings.source is None else [_card_path(context, sets.source, "source"), *targets]


class FoldsStage(Stage[list[ImageSets]]):
    """Divides the labelled images of a repeat into folds; returns the image sets of each."""

    name = "folds"
    place = 15
    is_on_demand = True

    def load(self, context: Context) -> list[ImageSets]:
        """Draw the folds.

        Raises:
          ImageSetError: a target cannot be divided into so many.
        """
        sets, number = context.get(ImageSetsStage), context.settings.folds
        assert isinstance(number, int), "asked of studies with folds alone"
        by_target = {}
        for name, target in sets.targets.items():
            by_target[name], notices = folds_of(target, number, context.settings.seed)
            for notice in notices:
                context.clock.notice(notice)
        return [
            ImageSets(sets.source, {name: folds[fold] for name, folds in by_target.items()}) for fold in range(number)
        ]


def _drawn_again(context: Context, first: ImageSets) -> ImageSets:
    """Draw the targets of a later repeat."""
    settings = {target.display_name: target for target in context.settings.targets}
    targets = {name: _drawn(context, settings[name], whole) for name, whole in first.wholes.items()}
    check_sizes(context.settings, first.source, targets)
    return ImageSets(first.source, targets)


def _drawn(context: Context, settings: ImageSetSettings, whole: ImageSet) -> ImageSet:
    study = context.top.settings
    undrawn = {"test": "undrawn"} if study.repeats.test == "undrawn" else {}
    drawn, sentence = drawn_set(
        whole,
        settings.model_copy(update=undrawn),
        repeat=context.repeat,
        seed=study.seed,
        has_folds=study.folds != "official",
    )
    if study.repeats.draws > 1:
        context.clock.notice(sentence)
    return drawn


def _keep_card(
    context: Context, origin: ImageSetSettings, image_set: ImageSet, side: str, reported: Callable[..., None]
) -> list[str]:
    """Write the card of an image set into the study's folder, made where the store has none; return its warnings."""
    path, folder = _card_path(context, image_set, side), context.settings.folder / CARDS
    if not is_kept(path):
        passed_over = []
        if origin.folder is not None and origin.published is None:
            passed_over = passed_over_names(origin.folder, origin.splits)
        card = make_card(
            image_set,
            max_images=MAX_IMAGES[side],
            seed=context.settings.seed,
            passed_over=passed_over,
            on_progress=lambda done, images: reported(detail=f"{image_set.name}: {done} of {images} images read"),
        )
        content = {"card": card.to_dict(), "warnings": list(card.warnings), "markdown": card.to_markdown()}
        write_sealed_json(path, content)
    found, name = read_sealed_json(path), image_set.name
    if side == "source" and name in {target.display_name for target in context.settings.targets}:
        name += " (source)"
    write_json(folder / f"{name}.json", found["card"])
    with replacing(folder / f"{name}.md") as temporary:
        temporary.write_text(found["markdown"], encoding="utf-8")
    return list(found["warnings"])


def _card_path(context: Context, image_set: ImageSet, side: str) -> Path:
    key = content_key(
        kind="card",
        version=CARD_VERSION,
        name=image_set.name,
        class_names=image_set.class_names,
        fingerprints=dict(image_set.fingerprints),
        max_images=MAX_IMAGES[side],
        seed=context.settings.seed,
    )
    return context.store.path(CARDS, f"{key}.json")


def check_sizes(settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet]) -> None:
    """Check the settings against the sizes of the data; one error lists all faults.

    Raises:
      UserError: more is asked for than the source or a target has.
    """
    faults = list(_size_faults(settings, source, targets))
    if faults:
        raise UserError("the study does not fit its data:\n" + "\n".join(f"  - {fault}" for fault in faults))


def _size_faults(settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet]) -> Iterator[str]:
    if settings.selecting:
        yield from _faults_of_selection(settings, source)
    networks = {"backbone": settings.backbone}
    if settings.selecting and settings.selection.backbone is not None:
        networks["selection.backbone"] = settings.selection.backbone
    for part, network in networks.items():
        pretrain = network.pretrain
        if pretrain is not None and source.num_images("train") < pretrain.batch_size:
            yield (
                f"{part}.pretrain.batch_size must be at most the source's {source.num_images('train')} images, but is "
                f"{pretrain.batch_size}"
            )
    for name, target in targets.items():
        yield from faults_of_a_step(settings, name, target.num_images("train"), target.num_images("val"))


def smaller_than_a_batch(name: str, num_images: int, batch_size: int) -> str:
    """Say what becomes of the batch where a target has fewer training images."""
    return (
        f"{name!r} has {num_images} images to train on, fewer than training.batch_size, {batch_size}: each step of its "
        "trials uses all of them"
    )


def faults_of_a_step(settings: StudySettings, name: str, num_train: int, num_val: int) -> Iterator[str]:
    """Yield why a target that is smaller than a batch, so that a step uses it whole, cannot be trained on."""
    num_workers, training = settings.compute.workers_per_trial, settings.training
    if num_train < 2:
        yield f"a target must have at least 2 images to train on, but {name!r} has {num_train}; add some"
    for splits, num_images in {"train": num_train, "train and val": num_train + num_val}.items():
        size, _ = training.step_sizes(num_images)
        if size % num_workers:
            yield (
                f"training.batch_size must leave an equal part to each of compute.workers_per_trial, {num_workers}, "
                f"but is {training.batch_size}, and {name!r} has fewer images, {size} in {splits}, which a step would "
                f"use whole; lower it to a multiple of {num_workers} that is smaller, or train with one worker"
            )


def _faults_of_selection(settings: StudySettings, source: ImageSet) -> Iterator[str]:
    selection, num_images = settings.selection, source.num_images("train")
    if selection.unit == "cluster" and selection.num_clusters > num_images:
        yield (
            f"selection.num_clusters must be at most the source's {num_images} images, but is {selection.num_clusters}"
        )
    available = {
        "class": (source.num_classes, f"the source's {source.num_classes} groups"),
        "cluster": (selection.num_clusters, f"selection.num_clusters, {selection.num_clusters}"),
        "image": (num_images, f"the source's {num_images} images"),
    }
    number, described = available[selection.unit]
    field, top_k = "grid.top_k" if settings.grid.of(TOP_K) else "selection.top_k", settings.largest_top_k
    if top_k + selection.rank_from > number:
        ranks = f" from rank {selection.rank_from} on" if selection.rank_from else ""
        beside = f" less selection.rank_from, {selection.rank_from}" if selection.rank_from else ""
        yield f"{field} must be at most {described}{beside}, but is {top_k}{ranks}"
    for target in settings.targets if selection.source_fraction == "as_target" else ():
        if target.regime.restricts and target.regime.fraction is None:
            yield (
                f"selection.source_fraction must be a number where the regime of a target is no fraction, but is "
                f"'as_target', and {target.display_name!r} has '{target.regime.describe()}'"
            )
