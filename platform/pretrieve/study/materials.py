"""What a study's trials are made of: image sets, backbone, selections and where the cached images lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.image_cache.store import PIXELS_VERSION, CacheEntry
from pretrieve.keys import content_key
from pretrieve.study.source_units import SourceUnits
from pretrieve_selection import Selection


@dataclass(frozen=True)
class ReusedImages:
    """The part of the source that a cell trains on.

    Attributes:
      identity: hash of which images these are.
      folders: their image-cache entries, in an order that does not depend on rank.
      num_units: how many classes, clusters or images were chosen.
    """

    identity: str
    folders: tuple[Path, ...]
    num_units: int


@dataclass(frozen=True)
class Materials:
    """Everything that exists before the first trial.

    Attributes:
      source: the pre-training data.
      targets: the targets by name.
      backbone: the pre-trained network.
      units: what the selections choose from.
      selections: by (target, method), of the methods that select.
      images: folder of the image cache.
    """

    source: ImageSet
    targets: Mapping[str, ImageSet]
    backbone: Backbone
    units: SourceUnits
    selections: Mapping[tuple[str, str], Selection]
    images: Path
    _reused: dict[tuple[str, str], ReusedImages] = field(default_factory=dict, repr=False, compare=False)

    def reused(self, target: str, method: str) -> ReusedImages | None:
        """Return what a cell reuses of the source; None for a method without a selector."""
        cell = (target, method)
        selection = self.selections.get(cell)
        if selection is None:
            return None
        if cell not in self._reused:  # asked for by each trial of a cell, and long to make for many images
            self._reused[cell] = ReusedImages(
                identity=self.units.identity(selection.groups),
                folders=tuple(
                    self.images / entry.key for entry in self.units.entries(selection.groups, self.image_size)
                ),
                num_units=len(selection.groups),
            )
        return self._reused[cell]

    def split_folder(self, target: str, split: str) -> Path:
        """Return the image-cache entry of a target's split."""
        return self.images / split_entry(self.targets[target], split, self.image_size).key

    @property
    def image_size(self) -> int:
        """Side of the cached squares in pixels."""
        return self.backbone.architecture.preprocessing.resize_size


def split_entry(image_set: ImageSet, split: str, size: int) -> CacheEntry:
    """Describe the cache entry of a whole split."""
    key = content_key(
        kind="split", version=PIXELS_VERSION, images=image_set.fingerprints[split], split=split, size=size
    )
    return CacheEntry(key=key, table=image_set.splits[split], size=size)
