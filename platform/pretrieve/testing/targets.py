"""The contract suite of targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from pretrieve.data.decode import decode_square, read_content
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import GROUPED_SCHEMA, SCHEMA
from pretrieve.data.split_words import SPLITS
from pretrieve.errors import ImageSetError

NUM_DECODED = 100
"""Images of each split that are decoded, spread over the split."""

Image = tuple[str, int]
"""The digest of an image's file, and its label."""


def check_target(target: Callable[[], ImageSet] | ImageSet) -> None:
    """Check that a target, or the function that makes it, keeps the contract of `ImageSet`.

    A function makes the same set at each call: classes, fingerprints and images. Class names differ. The splits are of
    train, val and test, and none is empty; train has an image of each class; the rows of an image table count from 0.
    Up to 100 images of each split are decoded. No image stands in two splits with the same label, as it would be
    trained on and tested; copies that are not equal byte by byte are found by `pretrieve card`. All files are read.

    Args:
      target: the function that is registered, or one set.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> import numpy as np
    >>> from pretrieve.data.array_set import image_set_from_arrays
    >>> def stripes() -> ImageSet:
    ...     images = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    ...     return image_set_from_arrays("stripes", ["dark", "light"], {"train": (images, np.arange(2))})
    >>> check_target(stripes)
    """
    image_set = target if isinstance(target, ImageSet) else _made(target)
    place = f"(target {image_set.name!r})"
    _check_classes(image_set, place)
    _check_splits(image_set, place)
    images = _images(image_set, place)
    _check_apart(image_set, images, place)
    if not isinstance(target, ImageSet):
        _check_same(image_set, _made(target), images, place)


def _made(make: Callable[[], ImageSet]) -> ImageSet:
    name = getattr(make, "__qualname__", repr(make))
    try:
        made: object = make()
    except ImageSetError as fault:
        raise AssertionError(f"a target must be whole, but {name} raises {type(fault).__name__}: {fault}") from fault
    if not isinstance(made, ImageSet):
        raise AssertionError(f"a target must be a pretrieve ImageSet, but {name} returns a {type(made).__name__}")
    return made


def _check_classes(image_set: ImageSet, place: str) -> None:
    for label, name in enumerate(image_set.class_names):
        if not isinstance(name, str) or not name:
            raise AssertionError(f"class names must be words, but that of label {label} is {name!r} {place}")
        if image_set.class_names.index(name) != label:
            raise AssertionError(
                f"class names must differ, but labels {image_set.class_names.index(name)} and {label} are both "
                f"{name!r} {place}"
            )


def _check_splits(image_set: ImageSet, place: str) -> None:
    for split, table in image_set.splits.items():
        if split not in SPLITS:
            raise AssertionError(f"splits must be of {', '.join(SPLITS)}, but one is {split!r} {place}")
        if not (table.schema.equals(SCHEMA) or table.schema.equals(GROUPED_SCHEMA)):
            raise AssertionError(
                f"an image table must have the columns {_columns(SCHEMA)}, and group string where images come in "
                f"groups, but that of {split} has {_columns(table.schema)} {place}"
            )
        if not table.num_rows:
            raise AssertionError(f"a split must have an image, but {split} has none; leave it out {place}")
        for row, index in enumerate(table["index"].to_pylist()):
            if index != row:
                raise AssertionError(
                    f"the rows of a split must count from 0, but row {row} of {split} has index {index} {place}"
                )
        if not image_set.fingerprints.get(split):
            raise AssertionError(f"each split must have a fingerprint, but {split} has none {place}")
        _check_decoded(image_set, split, place)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _check_decoded(image_set: ImageSet, split: str, place: str) -> None:
    table = image_set.splits[split]
    step = -(-table.num_rows // NUM_DECODED)
    for row in table.take(list(range(0, table.num_rows, step))).to_pylist():
        try:
            decode_square(_content(row, split, place), size=8)
        except ImageSetError as fault:
            raise AssertionError(
                f"every image must decode, but {row['path']!r} of {split} does not: {fault} {place}"
            ) from fault


def _images(image_set: ImageSet, place: str) -> dict[str, list[Image]]:
    """Return the images of each split, in their order."""
    images: dict[str, list[Image]] = {}
    for split, table in image_set.splits.items():
        batches = table.to_batches(max_chunksize=1_000)  # not all contents a second time
        images[split] = [
            (hashlib.sha256(_content(row, split, place)).hexdigest(), row["label"])
            for batch in batches
            for row in batch.to_pylist()
        ]
    return images


def _content(row: dict[str, Any], split: str, place: str) -> bytes:
    try:
        return read_content(row["path"], row["content"])
    except (ImageSetError, OSError) as fault:
        raise AssertionError(f"every image must be read, but {row['path']!r} of {split}: {fault} {place}") from fault


def _check_apart(image_set: ImageSet, images: dict[str, list[Image]], place: str) -> None:
    seen: dict[Image, tuple[str, int]] = {}
    for split, rows in images.items():
        for row, image in enumerate(rows):
            first, first_row = seen.setdefault(image, (split, row))
            if first != split:
                names = [image_set.splits[word]["path"][at].as_py() for word, at in ((first, first_row), (split, row))]
                raise AssertionError(
                    f"an image must stand in one split alone, but {names[0]!r} of {first} and {names[1]!r} of {split} "
                    f"are the same, of class {image_set.class_names[image[1]]!r} {place}"
                )


def _check_same(first: ImageSet, second: ImageSet, images: dict[str, list[Image]], place: str) -> None:
    for field in ("name", "class_names", "metric", "further_metrics", "fingerprints"):
        one, other = getattr(first, field), getattr(second, field)
        if one != other:
            raise AssertionError(f"two calls must give the same {field}, but give {one} and {other} {place}")
    others = _images(second, place)
    for split, rows in images.items():
        for row, (image, other) in enumerate(zip_longest(rows, others[split])):
            if image != other:
                raise AssertionError(
                    f"sets with the same fingerprints must have the same images, but row {row} of {split} differs "
                    f"between two calls {place}"
                )
