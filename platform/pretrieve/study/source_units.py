"""What a selection chooses from: the classes, the clusters or the single images of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pretrieve.data.image_set import ImageSet
from pretrieve.data.regimes import draw_nested, share_of
from pretrieve.image_cache.store import PIXELS_VERSION, CacheEntry
from pretrieve.keys import content_key, derived_seed
from pretrieve.study.selection_settings import Unit


@dataclass(frozen=True)
class SourceUnits(ABC):
    """The units of a source's train split, numbered from 0; a selection is a list of such numbers.

    Attributes:
      source: the pre-training data.
      key: what the numbering depends on, beside the images themselves.
      kept_fraction: share of its images that each unit gives, in (0, 1]; what a smaller one gives, a larger one does.
      seed: decides which images those are.
    """

    source: ImageSet
    key: str
    kept_fraction: float = field(default=1.0, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    unit: ClassVar[Unit]

    @abstractmethod
    def __len__(self) -> int:
        """Count the units."""

    @abstractmethod
    def name(self, group: int) -> str:
        """Name a unit for people."""

    @abstractmethod
    def rows(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows of the source's train table that belong to any of the units, ascending."""

    @abstractmethod
    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe the image-cache entries that hold the units' images, in an order that does not depend on rank.

        They are trained on, so they hold whole images.
        """

    def keeping(self, fraction: float, seed: int) -> SourceUnits:
        """Return the same units, each of which gives a share of its images."""
        return replace(self, kept_fraction=fraction, seed=seed)

    def identity(self, groups: Sequence[int]) -> str:
        """Hash which images are chosen, whatever their rank."""
        return content_key(
            kind="reused",
            source=self.source.fingerprints["train"],
            units=self.key,
            groups=sorted(groups),
            **self._restriction,
        )

    def class_counts(self, groups: Sequence[int]) -> dict[str, int]:
        """Count the chosen images by the name of their class, the most frequent first."""
        counts = Counter(self.labels[self.rows(groups)].tolist())
        return {self.source.class_names[label]: number for label, number in counts.most_common()}

    @property
    def _restriction(self) -> dict[str, Any]:
        """What a key must say beside the units; nothing where they give all their images."""
        return {} if self.kept_fraction == 1 else {"kept_fraction": self.kept_fraction, "seed": self.seed}

    def _kept(self, group: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows that a unit gives of those that it has."""
        if self.kept_fraction == 1:
            return rows
        seed = derived_seed(self.seed, "source_fraction", self.unit, int(group))
        return draw_nested(rows, share_of(len(rows), self.kept_fraction), seed=seed)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64, the class of each row of the source's train table."""
        labels: NDArray[np.int64] = self.source.splits["train"]["label"].to_numpy()
        return labels


class ClassUnits(SourceUnits):
    """The classes of a source."""

    unit = "class"

    def __len__(self) -> int:
        """Count the classes."""
        return self.source.num_classes

    def name(self, group: int) -> str:
        """Return the name of the class."""
        return self.source.class_names[group]

    def rows(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows that the classes give."""
        return np.sort(np.concatenate([self._rows_of(group) for group in groups]))

    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe one entry a class: selections that share a class share its entry."""
        return [self._entry(group, size) for group in sorted(groups)]

    def _entry(self, group: int, size: int) -> CacheEntry:
        key = content_key(
            kind="group",
            version=PIXELS_VERSION,
            images=self.source.fingerprints["train"],
            group=int(group),
            size=size,
            layout="whole",
            **self._restriction,
        )
        table = self.source.rows_of_class("train", int(group))
        if self.kept_fraction < 1:
            table = table.take(self._kept(group, np.arange(table.num_rows)))
        return CacheEntry(key, table, size, layout="whole")

    def _rows_of(self, group: int) -> NDArray[np.int64]:
        return self._kept(group, self._members[group])

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        return _rows_by_unit(self.labels, len(self))


@dataclass(frozen=True)
class ClusterUnits(SourceUnits):
    """The clusters of a source's features.

    Attributes:
      assignment: (N,) int64, the cluster of each row of the source's train table; −1 where the image does not decode.
      num_clusters: K.
    """

    assignment: NDArray[np.int64]
    num_clusters: int
    unit = "cluster"

    def __len__(self) -> int:
        """Count the clusters."""
        return self.num_clusters

    def name(self, group: int) -> str:
        """Name a cluster by its number, its size and its most frequent class."""
        members = self._members[group]
        (label, number), *_ = Counter(self.labels[members].tolist()).most_common(1)
        share = number / len(members)
        return f"cluster {group}: {len(members)} images, {share:.0%} {self.source.class_names[label]}"

    def rows(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows that the clusters give."""
        return np.sort(np.concatenate([self._rows_of(group) for group in groups]))

    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe one entry a cluster: selections that share a cluster share its entry."""
        return [self._entry(group, size) for group in sorted(groups)]

    def _entry(self, group: int, size: int) -> CacheEntry:
        key = content_key(
            kind="cluster",
            version=PIXELS_VERSION,
            clusters=self.key,
            group=int(group),
            size=size,
            layout="whole",
            **self._restriction,
        )
        return CacheEntry(key, self.source.splits["train"].take(self._rows_of(group)), size, layout="whole")

    def _rows_of(self, group: int) -> NDArray[np.int64]:
        return self._kept(group, self._members[group])

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        return _rows_by_unit(self.assignment, len(self))


@dataclass(frozen=True)
class ImageUnits(SourceUnits):
    """The single images of a source that decode.

    Attributes:
      decoded: (N,) int64, ascending: the row of each unit in the source's train table.
    """

    decoded: NDArray[np.int64]
    unit = "image"

    def __len__(self) -> int:
        """Count the images."""
        return len(self.decoded)

    def name(self, group: int) -> str:
        """Return the path of the image."""
        return str(self.source.splits["train"]["path"][int(self.decoded[group])].as_py())

    def rows(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows of the images."""
        return np.sort(self.decoded[list(groups)])

    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe one entry for all: single images of one selection are no unit of another."""
        key = content_key(
            kind="images", version=PIXELS_VERSION, images=self.identity(groups), size=size, layout="whole"
        )
        return [CacheEntry(key, self.source.splits["train"].take(self.rows(groups)), size, layout="whole")]


def _rows_by_unit(assignment: NDArray[np.int64], num_units: int) -> list[NDArray[np.int64]]:
    """List the rows of each unit, ascending; rows that are assigned to −1 are in none."""
    order = np.argsort(assignment, kind="stable")
    bounds = np.searchsorted(assignment[order], np.arange(num_units + 1))
    return [order[start:stop] for start, stop in pairwise(bounds)]
