"""Stage: the images of the targets and of everything selected, decoded once."""

from __future__ import annotations

from pretrieve.errors import ImageSetError
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.store import CachedImages, CacheEntry, read_card
from pretrieve.study.feature_stage import notice_broken
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials, split_entry
from pretrieve.study.stage_clock import StageClock


def cache_images(materials: Materials, cluster: LazyCluster, clock: StageClock) -> None:
    """Decode what the trials read and the cache does not hold.

    Raises:
      ImageSetError: no image of a split decodes, or none of a class of train.
      OSError: an image's file could not be read, or an entry not be written.
    """
    entries = _needed_entries(materials)
    missing = missing_entries(entries, materials.images)
    total = sum(entry.table.num_rows for entry in {entry.key: entry for entry in entries}.values())
    absent = sum(entry.table.num_rows for entry in missing)
    with clock.stage("image cache", total=total, done=total - absent) as progressed:
        if missing:
            cluster.connect()
            build_entries(missing, materials.images, on_progress=progressed)
    for entry in entries:
        card = read_card(materials.images / entry.key)
        assert card is not None, "it was made just now"
        notice_broken(card.broken, clock)
    _check_what_decoded(materials)


def _needed_entries(materials: Materials) -> list[CacheEntry]:
    size = materials.image_size
    entries = [
        split_entry(target, split, size) for target in materials.targets.values() for split in ("train", "val", "test")
    ]
    reused = {
        entry.key: entry
        for selection in materials.selections.values()
        for entry in materials.units.entries(selection.groups, size)
    }
    return [*entries, *reused.values()]


def _check_what_decoded(materials: Materials) -> None:
    for name, target in materials.targets.items():
        for split in ("train", "val", "test"):
            labels = set(CachedImages([materials.split_folder(name, split)]).labels.tolist())
            lost = [class_name for k, class_name in enumerate(target.class_names) if k not in labels]
            if not labels or (split == "train" and lost):
                raise ImageSetError(
                    f"images of {name!r}, split {split!r}, must decode, but "
                    + (f"none of {', '.join(lost[:5])} does" if labels else "none does")
                    + "; see the notes above for the files"
                )
