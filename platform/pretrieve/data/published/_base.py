"""The facts of a published data set, and the contract of its reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError


@dataclass(frozen=True)
class Archive:
    """One file that the publisher serves.

    Attributes:
      file: its path below the root that a user chooses.
      url: where everyone can download it; None where it needs an account, is gone, or is inside another archive.
      md5: 32 hexadecimal digits of the published file; None where no publisher states them.
      folder: where it is unpacked, below the root.
      contains: a path below the root that exists after unpacking; the file itself where it is no archive.
    """

    file: str
    url: str | None
    md5: str | None
    folder: str = "."
    contains: str = ""


@dataclass(frozen=True)
class PublishedFacts:
    """What a published data set must have once it is read.

    Attributes:
      num_images: images of each split that the publisher defines: train and test, and perhaps val.
      metric: how the paper scores it (appendix A).
      split: where the splits come from, in a few words.
      archives: what to download, in order.
    """

    title: str
    num_classes: int
    num_images: Mapping[str, int]
    metric: str
    split: str
    licence: str
    page: str
    archives: tuple[Archive, ...]


class PublishedSet(ABC):
    """Reader of one data set in its publisher's layout; studies and the command line use its `name`."""

    name: str
    facts: PublishedFacts
    training_images_per_class: int | None = None
    """So many of each class the seed draws for training (`split_per_class`); None where the splits are official."""

    @abstractmethod
    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        """Read the set from its unpacked folders, whatever number of images they hold.

        The archives were unpacked in `root`; `name` is what the study calls the set. The seed is for a split that the
        protocol draws; most sets have official splits and ignore it. A missing or malformed file or folder is an
        ImageSetError.
        """

    def load(self, root: Path, *, name: str | None = None, seed: int = 0) -> ImageSet:
        """Read the set; numbers of classes or images other than the published ones raise an ImageSetError."""
        root = root.expanduser().absolute()  # workers run in folders of their own
        image_set = self.read(root, name=name or self.name, seed=seed)
        found = {split: table.num_rows for split, table in image_set.splits.items()}
        expected = dict(self.facts.num_images)
        if image_set.num_classes != self.facts.num_classes or found != expected:
            raise ImageSetError(
                f"{self.facts.title} must have {_describe(self.facts.num_classes, expected)}, but {root} has "
                f"{_describe(image_set.num_classes, found)}; unpack its archives again"
            )
        return image_set


def _describe(num_classes: int, num_images: Mapping[str, int]) -> str:
    splits = ", ".join(f"{split} {number:,}" for split, number in num_images.items())
    return f"{num_classes} classes ({splits})"
