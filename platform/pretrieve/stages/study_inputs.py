"""The inputs of a study's trials: image sets, backbone, selections and the folders of cached images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, sealing
from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.image_cache.card import Layout
from pretrieve.image_cache.entries import PIXELS_VERSION, CacheEntry
from pretrieve.stages.source_units import SourceUnits
from pretrieve_selection import Selection

ROWS = "rows"
"""Folder of the store with the rows of whole sets that repeats draw."""


@dataclass(frozen=True)
class ReusedImages:
    """The part of the source that a cell trains on.

    Attributes:
      identity: hash of the chosen images.
      folders: their image-cache entries, in an order that does not depend on rank.
      num_units: how many classes, clusters or images were chosen.
      has_leaks: whether images that an audit leaves out are among them.
    """

    identity: str
    folders: tuple[Path, ...]
    num_units: int
    has_leaks: bool = False


@dataclass(frozen=True)
class StudyInputs:
    """Everything that exists before the first trial.

    Attributes:
      units: what the selections choose from, by target: the share of its images that a unit gives may differ.
      selections: by (target, method), of the methods that select.
      images: folder of the image cache.
      top_ks: the numbers of units at which trials cut a selection; None stands for the whole of it.
      relationships: for Co-Tuning, the file of each target's relationship of categories.
      features: for rows that read them, the folder of each (image set, split) of the whole sets.
      units_with_leaks: all units of the targets from whose `units` copies of test images were removed.
    """

    source: ImageSet
    targets: Mapping[str, ImageSet]
    backbone: Backbone
    units: Mapping[str, SourceUnits]
    selections: Mapping[tuple[str, str], Selection]
    images: Path
    top_ks: tuple[int | None, ...] = (None,)
    relationships: Mapping[str, Path] = field(default_factory=dict)
    features: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    units_with_leaks: Mapping[str, SourceUnits] = field(default_factory=dict)
    _reused: dict[tuple[Any, ...], ReusedImages] = field(default_factory=dict, repr=False, compare=False)

    def reused(
        self, target: str, method: str, top_k: int | None = None, *, with_leaks: bool = False
    ) -> ReusedImages | None:
        """Return the source images that a trial reuses; None for a method without a selector.

        The trial takes the first `top_k` units of the cell's selection, or all of them; `with_leaks` adds the images
        that an audit leaves out.
        """
        selection = self.selections.get((target, method))
        if selection is None:
            return None
        cut = (target, method, top_k, with_leaks)
        if cut not in self._reused:  # slow for many images, and each trial of a cell asks for it
            groups = selection.groups[:top_k]
            units = self.units_with_leaks.get(target, self.units[target]) if with_leaks else self.units[target]
            self._reused[cut] = ReusedImages(
                identity=units.identity(groups),
                folders=tuple(self.images / entry.key for entry in units.entries(groups, self.image_size)),
                num_units=len(groups),
                has_leaks=units.identity(groups) != self.units[target].identity(groups),
            )
        return self._reused[cut]

    def reused_entries(self) -> list[CacheEntry]:
        """List the image-cache entries of the source that some trial reuses, each once."""
        entries = {
            entry.key: entry
            for (target, _), selection in self.selections.items()
            for units in (self.units[target], self.units_with_leaks.get(target))
            if units is not None
            for top_k in self.top_ks
            for entry in units.entries(selection.groups[:top_k], self.image_size)
        }
        return list(entries.values())

    def images_of(self, target: str, splits: Sequence[str], layout: Layout) -> StoredRows:
        """Return the images of a target's splits, one after the other: `whole` to crop from, `square` to predict."""
        return self._stored(
            target, splits, lambda whole, split: self.images / split_entry(whole, split, self.image_size, layout).key
        )

    def features_of(self, target: str, splits: Sequence[str]) -> StoredRows:
        """Return the features of the images of a target's splits, one after the other."""
        return self._stored(target, splits, lambda _, split: self.features[target, split])

    def _stored(self, target: str, splits: Sequence[str], folder: Callable[[ImageSet, str], Path]) -> StoredRows:
        image_set = self.targets[target]
        if image_set.drawn_from is None:
            return StoredRows(folders=tuple(folder(image_set, split) for split in splits))
        rows = np.concatenate([image_set.rows[split] for split in splits])
        # Labelled images stand first in the whole set, so a training reads no entry of the test images.
        reads_test = bool((rows >= image_set.whole.num_images("train")).any())
        folders = [folder(image_set.whole, split) for split in ("train", *(["test"] if reads_test else []))]
        return StoredRows(folders=tuple(folders), rows=self._kept_rows(rows))

    def _kept_rows(self, rows: NDArray[np.int64]) -> Path:
        path = self.images.parent / ROWS / f"{content_key(rows=rows.tolist())}.npy"
        if not is_kept(path):
            with sealing(path) as temporary, temporary.open("wb") as file:
                np.save(file, rows)
        return path

    @property
    def image_size(self) -> int:
        """Side of the cached squares in pixels."""
        return self.backbone.architecture.preprocessing.resize_size


def split_entry(image_set: ImageSet, split: str, size: int, layout: Layout) -> CacheEntry:
    """Describe the cache entry of a whole split."""
    images = image_set.fingerprints[split]
    key = content_key(kind="split", version=PIXELS_VERSION, images=images, split=split, size=size, layout=layout)
    return CacheEntry(key=key, table=image_set.splits[split], size=size, layout=layout)
