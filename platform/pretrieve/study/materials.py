"""What a study's trials are made of: image sets, backbone, selections and where the cached images lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.image_cache.store import PIXELS_VERSION, CacheEntry
from pretrieve.keys import content_key
from pretrieve_selection import Selection


@dataclass(frozen=True)
class Materials:
    """Everything that exists before the first trial.

    Attributes:
      source: the pre-training data.
      targets: the targets by name.
      backbone: the pre-trained network.
      selections: by (target, method), of the methods that select.
      images: folder of the image cache.
    """

    source: ImageSet
    targets: Mapping[str, ImageSet]
    backbone: Backbone
    selections: Mapping[tuple[str, str], Selection]
    images: Path

    def groups(self, target: str, method: str) -> tuple[int, ...]:
        """Return the groups that a cell reuses, best first; none for a method without a selector."""
        selection = self.selections.get((target, method))
        return () if selection is None else tuple(selection.groups)

    def split_folder(self, target: str, split: str) -> Path:
        """Return the image-cache entry of a target's split."""
        return self.images / split_entry(self.targets[target], split, self._size).key

    def group_folders(self, groups: Sequence[int]) -> tuple[Path, ...]:
        """Return the image-cache entries of groups, in the order of their index."""
        return tuple(self.images / group_key(self.source, group, self._size) for group in sorted(groups))

    @property
    def _size(self) -> int:
        return self.backbone.architecture.preprocessing.resize_size


def split_entry(image_set: ImageSet, split: str, size: int) -> CacheEntry:
    """Describe the cache entry of a whole split."""
    key = content_key(
        kind="split", version=PIXELS_VERSION, images=image_set.fingerprints[split], split=split, size=size
    )
    return CacheEntry(key=key, table=image_set.splits[split], size=size)


def group_key(source: ImageSet, group: int, size: int) -> str:
    """Identify the cache entry of one group of the source."""
    return content_key(
        kind="group", version=PIXELS_VERSION, images=source.fingerprints["train"], group=group, size=size
    )


def group_entry(source: ImageSet, group: int, size: int) -> CacheEntry:
    """Describe the cache entry of one group of the source."""
    return CacheEntry(key=group_key(source, group, size), table=source.rows_of_class("train", group), size=size)
