"""Turn rows as they were read into an image set: read labels, check files, hold out a test split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa

from pretrieve.data.forms.given_labels import Classes, ClassNames, Label, find_classes, integers_of_texts, read_label
from pretrieve.data.forms.given_rows import GivenRows
from pretrieve.data.image_set import ImageSet, Metric, image_set_of_tables
from pretrieve.data.parquet_reference import is_reference, parse_reference
from pretrieve.data.splits import with_test
from pretrieve.errors import ImageSetError


@dataclass(frozen=True)
class WantedSet:
    """What a user says of a set beside its rows.

    Attributes:
      class_names: see `ClassNames`; None takes them from the labels.
      metric: how a target is scored.
      test_fraction: share of each class of train that becomes the test split; None makes none.
      seed: decides which images are held out.
      labels_are_text: labels come from a text file, which does not tell integers from names.
    """

    name: str
    class_names: ClassNames | None = None
    metric: Metric = "top1"
    test_fraction: float | None = None
    seed: int = 0
    labels_are_text: bool = False


def assemble_image_set(rows: GivenRows, wanted: WantedSet, *, files_exist: bool = False) -> ImageSet:
    """Make an image set of rows, and hold out a test split of train where one is asked for.

    With `files_exist`, the rows were made by listing folders, so their files need no check. Faults of files and labels
    raise an ImageSetError, which counts them all and shows the first ones with their places.
    """
    if "train" not in rows.splits:
        rows.raise_faults()
        raise ImageSetError(
            f"{rows.origin} must hold images of train, but holds {sorted(rows.splits) or 'no image at all'}; add them"
        )
    rows.check_files(exist=files_exist)
    given = {split: _read_labels(rows, split, wanted.class_names) for split in rows.splits}
    rows.raise_faults()
    if wanted.labels_are_text:
        texts = list(dict.fromkeys(str(label) for labels in given.values() for label in labels))
        meaning = integers_of_texts(texts, wanted.class_names)
        given = {split: [meaning[str(label)] for label in labels] for split, labels in given.items()}
    _check_one_kind(rows, given)
    classes = find_classes(list(dict.fromkeys(given["train"])), wanted.class_names, wanted.name)
    indices = {split: _indices(rows, split, labels, classes) for split, labels in given.items()}
    rows.raise_faults()
    tables = {split: rows.splits[split].to_table(labels) for split, labels in indices.items()}
    splits = with_test(tables, fraction=wanted.test_fraction, seed=wanted.seed, set_name=wanted.name)
    root = _common_folder(tables)
    return image_set_of_tables(wanted.name, classes.names, splits, wanted.metric, root=root)


def _read_labels(rows: GivenRows, split: str, class_names: ClassNames | None) -> list[Label]:
    known = frozenset(map(str, class_names or ()))
    reader = lru_cache(typed=True)(partial(read_label, known=known))  # typed: True and 1.0 are not the label 1
    labels: list[Label] = []
    for label, position in zip(rows.splits[split].labels, rows.splits[split].positions, strict=True):
        try:
            labels.append(reader(label) if isinstance(label, str | int) else read_label(label, known))
        except ImageSetError as error:
            rows.add_fault(position, error)
    return labels


def _check_one_kind(rows: GivenRows, given: Mapping[str, list[Label]]) -> None:
    first: dict[type, str] = {}
    for split, labels in given.items():
        for label, position in zip(labels, rows.splits[split].positions, strict=True):
            if type(label) not in first:
                first[type(label)] = f"{rows.where(position)} has {label!r}"
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
    for label, position in zip(labels, rows.splits[split].positions, strict=True):
        index = found[label]
        if isinstance(index, int):
            indices.append(index)
        else:
            rows.add_fault(position, index)
    return indices


def _common_folder(tables: Mapping[str, pa.Table]) -> Path | None:
    """Return the deepest folder that holds all files; names relative to it do not change where the set is moved."""
    folders: set[str] = set()
    for table in tables.values():
        unread = table.filter(table["content"].is_null())["path"].to_pylist()
        files = (str(parse_reference(path).file) if is_reference(path) else path for path in unread)
        folders |= {file.rpartition(os.sep)[0] for file in files}
    return Path(os.path.commonpath(folders)) if folders else None
