"""From rows as they were read to an image set: labels understood, files checked, a test split made where asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa

from pretrieve.data.forms.given_labels import Classes, ClassNames, Label, find_classes, integers_of_texts, read_label
from pretrieve.data.forms.given_rows import GivenRows
from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.data.image_table import table_fingerprint
from pretrieve.data.parquet_reference import is_reference, parse_reference
from pretrieve.data.splits import with_test
from pretrieve.errors import ImageSetError


@dataclass(frozen=True)
class WantedSet:
    """What a user says of a set beside its rows.

    Attributes:
      name: the set's name.
      class_names: see `ClassNames`; None takes them from the labels.
      metric: how a target is scored.
      test_fraction: share of each class of train that becomes the test split; None makes none.
      seed: decides which images do.
      labels_are_text: labels come from a text file, which does not tell integers from names.
    """

    name: str
    class_names: ClassNames | None = None
    metric: Metric = "top1"
    test_fraction: float | None = None
    seed: int = 0
    labels_are_text: bool = False


def assemble_image_set(rows: GivenRows, wanted: WantedSet, *, files_exist: bool = False) -> ImageSet:
    """Make the image set of rows as they were read.

    Args:
      rows: at least the train split.
      wanted: what the user says of the set.
      files_exist: the rows were made by listing folders, so their files need no look.

    Returns:
      ImageSet with the splits of the rows, and a test split made from train where one is asked for.

    Raises:
      ImageSetError: a file or label is at fault; all faults are counted and the first ones shown, with their places.
    """
    if "train" not in rows.splits:
        rows.faults.raise_if_any()
        raise ImageSetError(
            f"{rows.origin} must hold images of train, but holds {sorted(rows.splits) or 'no image at all'}; add them"
        )
    rows.check_files(exist=files_exist)
    given = {split: _read_labels(rows, split, wanted.class_names) for split in rows.splits}
    rows.faults.raise_if_any()
    if wanted.labels_are_text:
        given = _told_apart(given, wanted.class_names)
    _check_one_kind(rows, given)
    classes = find_classes(list(dict.fromkeys(given["train"])), wanted.class_names, wanted.name)
    indices = {split: _indices(rows, split, labels, classes) for split, labels in given.items()}
    rows.faults.raise_if_any()
    tables = {split: rows.splits[split].to_table(labels) for split, labels in indices.items()}
    splits = with_test(tables, fraction=wanted.test_fraction, seed=wanted.seed, set_name=wanted.name)
    root = _common_folder(tables)
    return ImageSet(
        name=wanted.name,
        class_names=classes.names,
        splits=splits,
        fingerprints={split: table_fingerprint(table, root) for split, table in splits.items()},
        metric=wanted.metric,
    )


def _read_labels(rows: GivenRows, split: str, class_names: ClassNames | None) -> list[Label]:
    known = frozenset(map(str, class_names or ()))
    reader = lru_cache(typed=True)(partial(read_label, known=known))  # typed: True and 1.0 are no label 1
    labels: list[Label] = []
    for label, place in zip(rows.splits[split].labels, rows.splits[split].places, strict=True):
        try:
            labels.append(reader(label) if isinstance(label, str | int) else read_label(label, known))
        except ImageSetError as error:
            rows.faults.add(rows.where(place), error)
    return labels


def _told_apart(given: Mapping[str, list[Label]], class_names: ClassNames | None) -> dict[str, list[Label]]:
    texts = dict.fromkeys(str(label) for labels in given.values() for label in labels)
    meaning = integers_of_texts(list(texts), class_names)
    return {split: [meaning[str(label)] for label in labels] for split, labels in given.items()}


def _check_one_kind(rows: GivenRows, given: Mapping[str, list[Label]]) -> None:
    first: dict[type, str] = {}
    for split, labels in given.items():
        for label, place in zip(labels, rows.splits[split].places, strict=True):
            if type(label) not in first:
                first[type(label)] = f"{rows.where(place)} has {label!r}"
    if len(first) > 1:
        raise ImageSetError(
            f"labels of {rows.origin} must be all integers or all class names, but {' and '.join(first.values())}; "
            "write them in one way"
        )


def _indices(rows: GivenRows, split: str, labels: list[Label], classes: Classes) -> list[int]:
    found: dict[Label, int | ImageSetError] = {}
    for label in dict.fromkeys(labels):
        try:
            found[label] = classes.index(label, split)
        except ImageSetError as error:
            found[label] = error
    indices = []
    for label, place in zip(labels, rows.splits[split].places, strict=True):
        index = found[label]
        if isinstance(index, int):
            indices.append(index)
        else:
            rows.faults.add(rows.where(place), index)
    return indices


def _common_folder(tables: Mapping[str, pa.Table]) -> Path | None:
    """Return the deepest folder that holds all files: their names below it stay the same where the set is moved."""
    folders: set[str] = set()
    for table in tables.values():
        unread = table.filter(table["content"].is_null())["path"].to_pylist()
        files = (str(parse_reference(path).file) if is_reference(path) else path for path in unread)
        folders |= {file.rpartition(os.sep)[0] for file in files}
    return Path(os.path.commonpath(folders)) if folders else None
