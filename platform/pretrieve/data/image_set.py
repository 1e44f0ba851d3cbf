"""Sources and targets: named, labelled images in splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pretrieve.data.image_table import table_fingerprint
from pretrieve.data.metric_words import find_metrics
from pretrieve.errors import ComponentError, ImageSetError


@dataclass(frozen=True)
class ImageSet:
    """Labelled images in splits: a source (its train split is the pre-training data) or a target.

    Attributes:
      name: its name in the study, the tables and the MLflow runs.
      class_names: K names; label k is class_names[k].
      splits: image tables (see `image_table.SCHEMA`) by split: train, and for a target val and test. Where images come
        in groups, all of them have the column `group`.
      fingerprints: for each split the hash of its images and labels.
      metric: how a network is scored on this set: the word of a metric, such as `top1` or `mean_per_class`.
      further_metrics: words of metrics that are kept beside it and decide nothing.
      drawn_from: the whole set, of which a repeat draws its splits; None where they are the set's own. Images and
        features of the whole set are stored once. It has a split train, of all labelled images, and test.
      rows: of each split that is drawn, (N,) int64: rows of the tables train and test of the whole set joined.

    Raises:
      ImageSetError: there is no train split, a class has no training image, a label is out of range, only some images
        have a group, or a metric is unknown.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, pa.Table]
    fingerprints: Mapping[str, str]
    metric: str = "top1"
    further_metrics: tuple[str, ...] = ()
    drawn_from: ImageSet | None = field(default=None, compare=False)
    rows: dict[str, NDArray[np.int64]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        try:
            find_metrics([self.metric, *self.further_metrics])
        except ComponentError as fault:
            raise ImageSetError(f"image set {self.name!r}: {fault}") from fault
        if "train" not in self.splits:
            raise ImageSetError(f"image set {self.name!r} must have a train split, but has {sorted(self.splits)}")
        for split, table in self.splits.items():
            labels = pc.unique(table["label"]).to_pylist()
            wrong = [label for label in labels if label is None or not 0 <= label < len(self.class_names)]
            if wrong:
                raise ImageSetError(
                    f"labels of {self.name!r}, split {split!r}, must lie in 0 … {len(self.class_names) - 1}, "
                    f"but {wrong[0]} was found"
                )
        self._check_groups()
        seen = set(self.splits["train"]["label"].to_pylist())
        missing = [name for label, name in enumerate(self.class_names) if label not in seen]
        if missing:
            raise ImageSetError(
                f"every class of {self.name!r} must have a training image, but {len(missing)} have none: "
                f"{', '.join(missing[:5])}; add images or remove the class"
            )

    def _check_groups(self) -> None:
        """Refuse images without a group beside others: whether they may be parted from these is unknown."""
        without = [
            split
            for split, table in self.splits.items()
            if "group" not in table.column_names or table["group"].null_count
        ]
        if without and any("group" in table.column_names for table in self.splits.values()):
            raise ImageSetError(
                f"all images of {self.name!r} or none must have a group, but in split {without[0]!r} some have none; "
                "give them a group, each one of its own if it belongs to no other image"
            )

    @property
    def whole(self) -> ImageSet:
        """The set whose images and features are stored."""
        return self.drawn_from or self

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def num_images(self, split: str) -> int:
        """Count the images of a split (0 where the split is absent)."""
        return self.splits[split].num_rows if split in self.splits else 0


ImageSource = ImageSet
ImageTarget = ImageSet


def image_set_of_tables(
    name: str, class_names: Sequence[str], splits: Mapping[str, pa.Table], metric: str, *, root: Path | None = None
) -> ImageSet:
    """Make an image set of image tables; its fingerprints do not depend on where the folder `root` lies."""
    fingerprints = {split: table_fingerprint(table, root) for split, table in splits.items()}
    return ImageSet(name, tuple(class_names), splits, fingerprints, metric)
