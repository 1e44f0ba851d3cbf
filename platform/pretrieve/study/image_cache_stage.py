"""Stage: the images of the targets and of everything selected, decoded once."""

from __future__ import annotations

from pretrieve.errors import ImageSetError
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.card import Layout, read_card
from pretrieve.image_cache.store import CachedImages, CacheEntry
from pretrieve.methods import METHODS
from pretrieve.study.feature_stage import notice_broken
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials, split_entry
from pretrieve.study.quarantine import count_decoded, describe_left_out
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock
from pretrieve.training.objectives import find_objective

TRIALS_READ: tuple[tuple[str, Layout], ...] = (
    ("train", "whole"),
    ("val", "square"),
    ("val", "whole"),  # refits train on it as well
    ("test", "square"),
)
"""The splits of a target, and how their images are cached."""

RELATIONSHIPS_READ: tuple[tuple[str, Layout], ...] = (("train", "square"),)
"""What Co-Tuning's relationships are learned from besides: training images as a network that predicts sees them."""


def cache_images(settings: StudySettings, materials: Materials, cluster: LazyCluster, clock: StageClock) -> None:
    """Decode what the trials read and the cache does not hold.

    Raises:
      ImageSetError: no image of a split decodes, or none of a class of train.
      OSError: an image's file could not be read, or an entry not be written.
    """
    entries = _needed_entries(settings, materials)
    missing = missing_entries(entries, materials.images)
    total = sum(entry.table.num_rows for entry in {entry.key: entry for entry in entries}.values())
    absent = sum(entry.table.num_rows for entry in missing)
    with clock.stage("image cache", total=total, done=total - absent) as progressed:
        if missing:
            cluster.connect()
            build_entries(missing, materials.images, on_progress=progressed, on_notice=clock.notice)
    for entry in entries:
        card = read_card(materials.images / entry.key)
        assert card is not None, "it was made just now"
        notice_broken(card.broken, clock)
    for sentence in describe_left_out(count_decoded(materials)):
        clock.notice(sentence)
    _check_what_decoded(materials, settings.training.batch_size)
    _check_what_is_reused(materials)


def _needed_entries(settings: StudySettings, materials: Materials) -> list[CacheEntry]:
    size = materials.image_size
    is_related = any(find_objective(METHODS[method].objective).uses_relationship for method in settings.methods)
    read = (*TRIALS_READ, *(RELATIONSHIPS_READ if is_related else ()))
    entries = [
        split_entry(target, split, size, layout) for target in materials.targets.values() for split, layout in read
    ]
    return [*entries, *materials.reused_entries()]


def _check_what_decoded(materials: Materials, batch_size: int) -> None:
    for name, target in materials.targets.items():
        for split in ("train", "val", "test"):
            folder = materials.training_folder if split == "train" else materials.evaluation_folder
            found = CachedImages([folder(name, split)]).labels.tolist()
            lost = sorted(set(range(target.num_classes)) - set(found))
            if not found or (split == "train" and lost):
                names = ", ".join(target.class_names[k] for k in lost[:5])
                raise ImageSetError(
                    f"images of {name!r}, split {split!r}, must decode, but "
                    + (f"none of {names} does" if found else "none does")
                    + "; see the notes above for the files"
                )
            if split == "train" and len(found) < batch_size:
                raise ImageSetError(
                    f"training.batch_size must be at most the training images of {name!r} that decode, {len(found)}, "
                    f"but is {batch_size}; see the notes above for the files that do not"
                )


def _check_what_is_reused(materials: Materials) -> None:
    for target, method in materials.selections:
        for top_k in materials.top_ks:
            reused = materials.reused(target, method, top_k)
            assert reused is not None, "it has a selection"
            cards = [read_card(folder) for folder in reused.folders]
            if any(card is not None and card.num_images for card in cards):
                continue
            raise ImageSetError(
                f"what {method} reuses of the source for {target!r} must hold images, but of the {reused.num_units} "
                f"units it selected first none is left: they {'do not decode' if cards else 'all show test images'}; "
                "see the notes above, and select more of the source (selection.top_k, grid.top_k)"
            )
