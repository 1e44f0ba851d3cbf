"""The card of a data set: what it holds, and what a user must know before trusting a score on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.card_text import as_markdown, as_text, warnings_of
from pretrieve.data.folder_tree import names_alike
from pretrieve.data.image_scan import ImageFacts, scan_images
from pretrieve.data.image_set import ImageSet
from pretrieve.data.split_words import SPLITS

DEFAULT_MAX_IMAGES = 50_000

ASPECT_EDGES = (1 / 3, 1 / 2, 2 / 3, 0.95, 1.05, 3 / 2, 2, 3)
ASPECT_NAMES = (
    "taller than 3:1", "3:1 to 2:1", "2:1 to 3:2", "upright", "square", "wide", "3:2 to 2:1", "2:1 to 3:1",
    "wider than 3:1",
)  # fmt: skip


@dataclass(frozen=True)
class SizeRange:
    """Widths or heights of images, in pixels."""

    smallest: int
    median: float
    largest: int


@dataclass(frozen=True)
class ListedImage:
    """Where an image stands in its set; `reason` says why it does not decode, and is empty for one that does."""

    split: str
    class_name: str
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Copies:
    """Two or more images with one picture: equal files where `are_exact`, otherwise only equal pixels."""

    images: tuple[ListedImage, ...]
    are_exact: bool

    @property
    def has_two_labels(self) -> bool:
        return len({image.class_name for image in self.images}) > 1


@dataclass(frozen=True)
class CopyCount:
    """How many images are `exact` copies of a file, and how many more have the `same_pixels` in another file."""

    exact: int = 0
    same_pixels: int = 0

    @property
    def total(self) -> int:
        return self.exact + self.same_pixels


@dataclass(frozen=True)
class DatasetCard:
    """What a data set holds. Class counts cover all images, everything else the `num_scanned` images that were read.

    Attributes:
      counts: for each split the number of images of each class, in the order of the names.
      imbalance: for each split its largest class over its smallest non-empty one.
      seed: of the sample, where not all images were read.
      widths, heights: of the images that decode; None where none does.
      aspects: images by width : height, from tall to wide.
      modes, file_formats: images by colour mode and by file format, most frequent first.
      num_animated: images of several frames or pages, of which the first is used.
      num_turned: images whose EXIF orientation is ignored.
      num_transparent: images with pixels that are not opaque.
      wrong_suffixes: images whose suffix belongs to another format; they decode by their content.
      grey_ends: JPEG images whose last rows are the grey of missing data; they may be truncated.
      tiny: images with a side below 8 pixels.
      copies_within: for each split, images that repeat an earlier one of it.
      copies_across: for "first/second" of the splits, images of the second with a copy in the first.
      alike_paths: files whose names differ only in case.
      passed_over: files in the set's folder that no split holds, and folders beside the splits, with a / at the end.
    """

    name: str
    metric: str
    class_names: tuple[str, ...]
    fingerprints: Mapping[str, str]
    counts: Mapping[str, tuple[int, ...]]
    imbalance: Mapping[str, float]
    num_images: int
    num_scanned: int
    seed: int
    num_bytes: int
    widths: SizeRange | None
    heights: SizeRange | None
    aspects: Mapping[str, int]
    modes: Mapping[str, int]
    file_formats: Mapping[str, int]
    num_animated: int
    num_turned: int
    num_transparent: int
    wrong_suffixes: tuple[ListedImage, ...]
    grey_ends: tuple[ListedImage, ...]
    tiny: tuple[ListedImage, ...]
    broken: tuple[ListedImage, ...]
    copies: tuple[Copies, ...]
    copies_within: Mapping[str, CopyCount]
    copies_across: Mapping[str, CopyCount]
    alike_paths: tuple[tuple[str, ...], ...]
    passed_over: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(warnings_of(self))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values, warnings included."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    to_text = as_text
    to_markdown = as_markdown


def make_card(
    image_set: ImageSet,
    *,
    max_images: int | None = DEFAULT_MAX_IMAGES,
    seed: int = 0,
    passed_over: Sequence[str] = (),
    num_threads: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetCard:
    """Read the images of a set and describe it.

    A set of more than `max_images` images is sampled with `seed`, and its card says so; None reads all. The card also
    names `passed_over`, the files that the set's loader left out. By default one thread a CPU reads, at most 8.
    `on_progress` is called with (images done, images in all).
    """
    splits = sorted(image_set.splits, key=lambda split: (*SPLITS, split).index(split))
    tables = {split: image_set.splits[split] for split in splits}
    counts = {
        split: tuple(np.bincount(table["label"].to_numpy(), minlength=image_set.num_classes).tolist())
        for split, table in tables.items()
    }
    rows = _drawn_rows({split: table.num_rows for split, table in tables.items()}, max_images, seed)
    facts = scan_images(tables, rows, num_threads=num_threads, on_progress=on_progress)
    paths = [path for table in tables.values() for path in table["path"].to_pylist()]
    return DatasetCard(
        name=image_set.name,
        metric=image_set.metric,
        class_names=image_set.class_names,
        fingerprints=dict(image_set.fingerprints),
        counts=counts,
        imbalance={split: _imbalance(each) for split, each in counts.items()},
        num_images=len(paths),
        num_scanned=len(facts),
        seed=seed,
        alike_paths=tuple(tuple(group) for group in names_alike(sorted({*paths}))),
        passed_over=tuple(passed_over),
        **_described(facts, image_set.class_names, splits),
    )


def _imbalance(counts: Iterable[int]) -> float:
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0


def _drawn_rows(sizes: Mapping[str, int], max_images: int | None, seed: int) -> dict[str, list[int]]:
    total = sum(sizes.values())
    if max_images is None or total <= max_images:
        return {split: list(range(size)) for split, size in sizes.items()}
    drawn = np.sort(np.random.default_rng(derived_seed(seed, "card")).choice(total, max_images, replace=False))
    ends = np.cumsum(list(sizes.values()))
    parts = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
    return {split: (part + sizes[split] - end).tolist() for split, part, end in zip(sizes, parts, ends, strict=True)}


def _described(facts: Sequence[ImageFacts], names: tuple[str, ...], splits: Sequence[str]) -> dict[str, Any]:
    good = [image for image in facts if image.error is None]
    by_pixels: dict[str, list[ImageFacts]] = {}
    for image in good:  # broken images, such as two empty files, are not copies of each other
        by_pixels.setdefault(image.pixel_hash, []).append(image)
    groups = [group for group in by_pixels.values() if len(group) > 1]
    aspects = Counter(int(np.searchsorted(ASPECT_EDGES, image.width / image.height)) for image in good)

    within = {split: _count_copies(groups, split, split) for split in splits}
    across = {f"{one}/{other}": _count_copies(groups, one, other) for one, other in combinations(splits, 2)}

    def listed(images: Iterable[ImageFacts]) -> tuple[ListedImage, ...]:
        return tuple(ListedImage(i.split, names[i.label], i.path, i.error or "") for i in images)

    return {
        "num_bytes": sum(image.num_bytes for image in facts),
        "widths": _range([image.width for image in good]),
        "heights": _range([image.height for image in good]),
        "aspects": {ASPECT_NAMES[number]: aspects[number] for number in sorted(aspects)},
        "modes": dict(Counter(image.mode for image in good).most_common()),
        "file_formats": dict(Counter(image.file_format for image in good).most_common()),
        "num_animated": sum(image.num_frames > 1 for image in good),
        "num_turned": sum(image.is_turned for image in good),
        "num_transparent": sum(image.is_transparent for image in good),
        "wrong_suffixes": listed(image for image in good if image.has_wrong_suffix),
        "grey_ends": listed(image for image in good if image.ends_in_grey),
        "tiny": listed(image for image in good if min(image.width, image.height) < 8),
        "broken": listed(image for image in facts if image.error is not None),
        "copies": tuple(Copies(listed(group), len({i.content_hash for i in group}) == 1) for group in groups),
        "copies_within": {split: count for split, count in within.items() if count.total},
        "copies_across": {pair: count for pair, count in across.items() if count.total},
    }


def _range(sides: Sequence[int]) -> SizeRange | None:
    return SizeRange(min(sides), float(np.median(sides)), max(sides)) if sides else None


def _count_copies(groups: Iterable[list[ImageFacts]], first: str, second: str) -> CopyCount:
    """Count the images of `second` that have a copy in `first`; in one split, those that repeat an earlier image."""
    exact = same_pixels = 0
    for group in groups:
        known = {image.content_hash for image in group if image.split == first and first != second}
        for content in (image.content_hash for image in group if image.split == second):
            exact += content in known
            same_pixels += bool(known) and content not in known
            if first == second:
                known.add(content)
    return CopyCount(exact, same_pixels)
