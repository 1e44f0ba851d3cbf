"""Stage: the image sets of a study, and what only their sizes show to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from pretrieve.data.image_set import ImageSet
from pretrieve.data.loading import load_source, load_target
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import UserError
from pretrieve.methods import METHODS
from pretrieve.study.card_stage import CARDS_FOLDER, keep_card
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock


def load_image_sets(settings: StudySettings, clock: StageClock) -> tuple[ImageSet, dict[str, ImageSet]]:
    """Load the source and the targets, these by name, and write a card of each into the study's folder.

    Raises:
      ImageSetError: one of them cannot be read.
    """
    cache = settings.cache / "image_sets"
    total = 1 + len(settings.targets)
    with clock.stage("image sets", total=total) as progressed:
        source = load_source(settings.source, seed=settings.seed, cache=cache)
        _keep_card(settings, settings.source, source, "source", clock, partial(progressed, 0, total))
        targets: dict[str, ImageSet] = {}
        for number, target in enumerate(settings.targets, start=1):
            progressed(number, total)
            loaded = load_target(target, seed=settings.seed, cache=cache)
            _keep_card(settings, target, loaded, "target", clock, partial(progressed, number, total))
            targets[loaded.name] = loaded
        progressed(total, total)
    return source, targets


def _keep_card(
    settings: StudySettings,
    origin: ImageSetSettings,
    image_set: ImageSet,
    side: str,
    clock: StageClock,
    told: Callable[..., None],
) -> None:
    warnings = keep_card(
        origin,
        image_set,
        side=side,
        seed=settings.seed,
        cache=settings.cache / CARDS_FOLDER,
        folder=settings.folder / CARDS_FOLDER,
        on_progress=lambda done, images: told(detail=f"{image_set.name}: {done} of {images} images read"),
    )
    if side == "target":
        for warning in warnings:
            clock.notice(f"{image_set.name}: {warning}")


def check_sizes(settings: StudySettings, source: ImageSet, targets: Mapping[str, ImageSet]) -> None:
    """Refuse what only the sizes of the data show to be wrong, all faults at once.

    Raises:
      UserError: more is asked for than the source or a target has.
    """
    faults = [*_faults_of_source(settings, source), *_faults_of_targets(settings, targets)]
    if faults:
        raise UserError("the study does not fit its data:\n" + "\n".join(f"  - {fault}" for fault in faults))


def _faults_of_source(settings: StudySettings, source: ImageSet) -> Iterator[str]:
    if any(METHODS[method].selector for method in settings.methods):
        yield from _faults_of_selection(settings, source)
    pretrain = settings.backbone.pretrain
    if pretrain is not None and source.num_images("train") < pretrain.batch_size:
        yield (
            f"backbone.pretrain.batch_size must be at most the source's {source.num_images('train')} images, but is "
            f"{pretrain.batch_size}"
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
    field, top_k = "selection.top_k", selection.top_k
    if settings.grid.top_k:
        field, top_k = "grid.top_k", max(settings.grid.top_k)
    if top_k + selection.rank_from > number:
        ranks, beside = "", ""
        if selection.rank_from:
            ranks, beside = f" from rank {selection.rank_from} on", f" less selection.rank_from, {selection.rank_from}"
        yield f"{field} must be at most {described}{beside}, but is {top_k}{ranks}"
    if selection.source_fraction == "as_target":
        yield from _faults_of_regimes(settings)


def _faults_of_regimes(settings: StudySettings) -> Iterator[str]:
    for target in settings.targets:
        if target.regime.restricts and target.regime.fraction is None:
            yield (
                f"selection.source_fraction must be a number where the regime of a target is no fraction, but is "
                f"'as_target', and {target.display_name!r} has '{target.regime.describe()}'"
            )


def _faults_of_targets(settings: StudySettings, targets: Mapping[str, ImageSet]) -> Iterator[str]:
    for name, target in targets.items():
        if target.num_images("train") < settings.training.batch_size:
            yield (
                f"training.batch_size must be at most the training images of every target, but is "
                f"{settings.training.batch_size} and {name!r} has {target.num_images('train')}"
            )
