"""Find images that occur twice, within and across splits and classes: copies of files, or of pixels alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from pretrieve.data.image_scan import ImageFacts


@dataclass(frozen=True)
class ListedImage:
    """Where an image stands in its set.

    Attributes:
      path: its file, or its readable name.
      reason: why it does not decode; empty for one that does.
    """

    split: str
    class_name: str
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Copies:
    """Two or more images with one picture.

    Attributes:
      are_exact: whether their files are the same byte for byte; otherwise only their pixels are.
    """

    images: tuple[ListedImage, ...]
    are_exact: bool

    @property
    def has_two_labels(self) -> bool:
        """Whether one picture is listed under two classes."""
        return len({image.class_name for image in self.images}) > 1


@dataclass(frozen=True)
class CopyCount:
    """How many images are copies of others.

    Attributes:
      exact: copies of a file, byte for byte.
      same_pixels: further ones that share only the pixels, in another file.
    """

    exact: int = 0
    same_pixels: int = 0

    @property
    def total(self) -> int:
        return self.exact + self.same_pixels


def copied_groups(facts: Iterable[ImageFacts]) -> list[list[ImageFacts]]:
    """Group images by their pixels, and leave out those that occur once."""
    groups: dict[str, list[ImageFacts]] = {}
    for image in facts:
        if image.error is None:  # broken images, such as two empty files, are not copies of each other
            groups.setdefault(image.pixel_hash, []).append(image)
    return [group for group in groups.values() if len(group) > 1]


def count_within(groups: Iterable[list[ImageFacts]], splits: Iterable[str]) -> dict[str, CopyCount]:
    """Count, for each split that has any, the images that repeat an earlier one of the same split."""
    counts = {split: CopyCount() for split in splits}
    for group in groups:
        for split, count in counts.items():
            contents = [image.content_hash for image in group if image.split == split]
            exact = len(contents) - len({*contents})
            same_pixels = max(len({*contents}) - 1, 0)
            counts[split] = CopyCount(count.exact + exact, count.same_pixels + same_pixels)
    return {split: count for split, count in counts.items() if count.total}


def count_across(groups: Iterable[list[ImageFacts]], splits: Iterable[str]) -> dict[str, CopyCount]:
    """Count, for each pair "first/second" of splits, the images of the second that have a copy in the first."""
    counts = {pair: CopyCount() for pair in combinations(splits, 2)}
    for group in groups:
        for (first, second), count in counts.items():
            known = {image.content_hash for image in group if image.split == first}
            copies = [image.content_hash in known for image in group if image.split == second] if known else []
            exact, same_pixels = copies.count(True), copies.count(False)
            counts[first, second] = CopyCount(count.exact + exact, count.same_pixels + same_pixels)
    return {f"{first}/{second}": count for (first, second), count in counts.items() if count.total}
