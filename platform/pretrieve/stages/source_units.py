"""The units that a selection chooses from: the classes, the clusters or the single images of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key, derived_seed
from pretrieve.data.image_set import ImageSet
from pretrieve.data.regimes import draw_nested, share_of
from pretrieve.image_cache.entries import PIXELS_VERSION, CacheEntry
from pretrieve.stages.selection_settings import Unit


@dataclass(frozen=True)
class SourceUnits(ABC):
    """The units of a source's train split, numbered from 0; a selection is a list of such numbers.

    Attributes:
      key: what the numbering depends on, beside the images themselves.
      kept_fraction: share of its images that each unit gives, in (0, 1]; a larger share contains a smaller one.
      seed: draws those images.
      dropped: rows of the source's train table that no unit gives, such as copies of a target's test images.
    """

    source: ImageSet
    key: str
    kept_fraction: float = field(default=1.0, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    dropped: tuple[int, ...] = field(default=(), kw_only=True)
    unit: ClassVar[Unit]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, group: int) -> str:
        """Name a unit for people."""

    def rows(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows of the source's train table that the units give, ascending."""
        rows = self._chosen(groups)
        return rows[~np.isin(rows, self.dropped)] if self.dropped else rows

    @abstractmethod
    def _chosen(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows that belong to any of the units, of each its share, ascending."""

    @abstractmethod
    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe the image-cache entries of the units' images: whole images, in an order that no rank changes."""

    def keeping(self, fraction: float, seed: int) -> SourceUnits:
        """Return the same units, each of which gives a share of its images."""
        return replace(self, kept_fraction=fraction, seed=seed)

    def without(self, rows: Sequence[int]) -> SourceUnits:
        """Return the same units without these rows of the source's train table."""
        return replace(self, dropped=tuple(sorted({*self.dropped, *map(int, rows)})))

    def identity(self, groups: Sequence[int]) -> str:
        """Hash the chosen images, whatever their rank."""
        return content_key(
            kind="reused",
            source=self.source.fingerprints["train"],
            units=self.key,
            groups=sorted(groups),
            **self._restriction(groups),
        )

    def class_counts(self, groups: Sequence[int]) -> dict[str, int]:
        """Count the chosen images by the name of their class, the most frequent first."""
        counts = Counter(self.labels[self.rows(groups)].tolist())
        return {self.source.class_names[label]: number for label, number in counts.most_common()}

    def _restriction(self, groups: Sequence[int]) -> dict[str, Any]:
        """Return what a key must hold beside the units; nothing where they give all their images."""
        lost = np.intersect1d(self._chosen(groups), self.dropped).tolist() if self.dropped else []
        share = {"kept_fraction": self.kept_fraction, "seed": self.seed} if self.kept_fraction < 1 else {}
        return {**share, **({"dropped": lost} if lost else {})}

    def _entry(self, groups: Sequence[int], size: int, **origin: Any) -> CacheEntry:
        """Describe the image-cache entry of some units; `origin` is what its key holds beside version and size."""
        key = content_key(version=PIXELS_VERSION, size=size, layout="whole", **origin)
        return CacheEntry(key, self.source.splits["train"].take(self.rows(groups)), size, layout="whole")

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64, the class of each row of the source's train table."""
        return cast("NDArray[np.int64]", self.source.splits["train"]["label"].to_numpy())


class GroupUnits(SourceUnits):
    """Units of many images: each has its own image-cache entry, so two selections with the same unit share it."""

    @property
    @abstractmethod
    def _assignment(self) -> NDArray[np.int64]:
        """(N,) int64, the unit of each row of the source's train table; −1 for none."""

    @property
    @abstractmethod
    def _entry_origin(self) -> dict[str, str]:
        """What the key of an entry holds beside its number."""

    def _chosen(self, groups: Sequence[int]) -> NDArray[np.int64]:
        return np.sort(np.concatenate([self._share_of(group) for group in groups]))

    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe one entry for each unit that has an image left."""
        return [
            self._entry([group], size, group=int(group), **self._entry_origin, **self._restriction([group]))
            for group in sorted(groups)
            if self.rows([group]).size
        ]

    def _share_of(self, group: int) -> NDArray[np.int64]:
        rows = self._members[group]
        if self.kept_fraction == 1:
            return rows
        seed = derived_seed(self.seed, "source_fraction", self.unit, int(group))
        return draw_nested(rows, share_of(len(rows), self.kept_fraction), seed=seed)

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        """The rows of each unit, ascending; rows that are assigned to −1 are in none."""
        order = np.argsort(self._assignment, kind="stable")
        bounds = np.searchsorted(self._assignment[order], np.arange(len(self) + 1))
        return [order[start:stop] for start, stop in pairwise(bounds)]


class ClassUnits(GroupUnits):
    """The classes of a source."""

    unit = "class"

    def __len__(self) -> int:
        return self.source.num_classes

    def name(self, group: int) -> str:
        return self.source.class_names[group]

    @property
    def _assignment(self) -> NDArray[np.int64]:
        return self.labels

    @property
    def _entry_origin(self) -> dict[str, str]:
        return {"kind": "group", "images": self.source.fingerprints["train"]}


@dataclass(frozen=True)
class ClusterUnits(GroupUnits):
    """The clusters of a source's features.

    Attributes:
      assignment: (N,) int64, the cluster of each row of the source's train table; −1 where the image does not decode.
      num_clusters: K.
    """

    assignment: NDArray[np.int64]
    num_clusters: int
    unit = "cluster"

    def __len__(self) -> int:
        return self.num_clusters

    def name(self, group: int) -> str:
        """Name a cluster by its number, its size and its most frequent class."""
        members = self._members[group]
        (label, number), *_ = Counter(self.labels[members].tolist()).most_common(1)
        share = number / len(members)
        return f"cluster {group}: {len(members)} images, {share:.0%} {self.source.class_names[label]}"

    @property
    def _assignment(self) -> NDArray[np.int64]:
        return self.assignment

    @property
    def _entry_origin(self) -> dict[str, str]:
        return {"kind": "cluster", "clusters": self.key}


@dataclass(frozen=True)
class ImageUnits(SourceUnits):
    """The single images of a source that decode.

    Attributes:
      decoded: (N,) int64, ascending: the row of each unit in the source's train table.
    """

    decoded: NDArray[np.int64]
    unit = "image"

    def __len__(self) -> int:
        return len(self.decoded)

    def name(self, group: int) -> str:
        return str(self.source.splits["train"]["path"][int(self.decoded[group])].as_py())

    def _chosen(self, groups: Sequence[int]) -> NDArray[np.int64]:
        return np.sort(self.decoded[list(groups)])

    def entries(self, groups: Sequence[int], size: int) -> list[CacheEntry]:
        """Describe one entry for all: another selection does not share these images."""
        return [self._entry(groups, size, kind="images", images=self.identity(groups))]
