"""Rows of a user's data as they are read, and the image set that they make once their labels are understood."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import compress
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from pretrieve.data.forms.given_labels import (
    NO_RULES,
    ClassNames,
    Label,
    LabelRules,
    find_classes,
    integers_of_texts,
    read_label,
)
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import GROUPED_SCHEMA, SCHEMA
from pretrieve.data.splits import with_test
from pretrieve.data.table_file import is_reference, parse_reference
from pretrieve.errors import ImageSetError, nearest_word

HELD_BYTES_LIMIT = 8 * 1024**3
"""Encoded images of one set that may be held in memory, in bytes; more of them must stay in files."""

_BLOCK_BYTES = 64 * 1024**2

NUM_FAULTS_SHOWN = 5

_LabelT = TypeVar("_LabelT", Label, int)


@dataclass
class SplitRows:
    """The rows of one split; `GivenRows.where` describes a row's position in words."""

    paths: list[str] = field(default_factory=list)  # files, references, or readable names of contents
    labels: list[object] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    _pending: list[bytes | None] = field(default_factory=list)
    _pending_bytes: int = 0
    _blocks: list[pa.Array] = field(default_factory=list)

    def add_content(self, content: bytes | None) -> None:
        """Add an image's bytes, packed block by block so that a stream of examples is never held twice."""
        self._pending.append(content)
        self._pending_bytes += len(content or b"")
        if self._pending_bytes >= _BLOCK_BYTES:
            self._pack()

    def _pack(self) -> None:
        self._blocks.append(pa.array(self._pending, pa.binary()))
        self._pending, self._pending_bytes = [], 0

    def contents(self) -> pa.ChunkedArray:
        """Return each row's encoded image; null where the image is in a file."""
        self._pack()
        return pa.chunked_array(self._blocks, pa.binary())

    def keep(self, are_kept: Sequence[bool]) -> None:
        """Drop the rows that are not kept."""
        self._blocks = self.contents().filter(pa.array(are_kept, pa.bool_())).chunks
        self.paths = list(compress(self.paths, are_kept))
        self.labels = list(compress(self.labels, are_kept))
        self.groups = list(compress(self.groups, are_kept))
        self.positions = list(compress(self.positions, are_kept))

    def to_table(self, labels: Sequence[int]) -> pa.Table:
        """Make the image table of these rows with labels in [0, K)."""
        columns = [pa.array(range(len(labels))), pa.array(self.paths, pa.string()), self.contents(), pa.array(labels)]
        if all(group is None for group in self.groups):
            return pa.Table.from_arrays(columns, schema=SCHEMA)
        return pa.Table.from_arrays([*columns, pa.array(self.groups, pa.string())], schema=GROUPED_SCHEMA)


class GivenRows:
    """The rows of all splits of one set, and their faults; `origin` names the data in errors."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.splits: dict[str, SplitRows] = {}
        self._starts: list[tuple[int, Callable[[int], str]]] = []
        self._position = 0
        self._held_bytes = 0
        self._num_faults = 0
        self._first_faults: list[str] = []

    def begin(self, describe: Callable[[int], str]) -> None:
        """Begin a file or split: `describe` turns the number of each of its rows, from 0, into words for errors."""
        self._starts.append((self._position, describe))

    @contextmanager
    def row(self) -> Iterator[None]:
        """Read the next row; an ImageSetError raised inside becomes a fault of that row, unless memory is exceeded."""
        try:
            yield
        except ImageSetError as error:
            if self._held_bytes > HELD_BYTES_LIMIT:
                raise
            self.add_fault(self._position, error)
        self._position += 1

    def add(
        self, split: str, label: object, *, path: str, content: bytes | None = None, group: str | None = None
    ) -> None:
        """Add the row that is being read; too many bytes of images held in memory raise an ImageSetError."""
        rows = self.splits.setdefault(split, SplitRows())
        rows.paths.append(path)
        rows.labels.append(label)
        rows.groups.append(group)
        rows.positions.append(self._position)
        rows.add_content(content)
        self._held_bytes += len(content or b"")
        if self._held_bytes > HELD_BYTES_LIMIT:
            raise ImageSetError(
                f"images of {self.origin} held in memory must not exceed {HELD_BYTES_LIMIT:,} bytes, but do at "
                f"{self.where(self._position)}; write them as image files in folders or as Parquet, whose images stay "
                "on disk"
            )

    def where(self, position: int) -> str:
        """Describe the place of a row in words, for example "labels.csv, line 7"."""
        start, describe = [begun for begun in self._starts if begun[0] <= position][-1]
        return describe(position - start)

    def add_fault(self, position: int, fault: object) -> None:
        """Count a fault of a row; only the first ones are kept, so a million bad rows cost no memory."""
        self._num_faults += 1
        if len(self._first_faults) < NUM_FAULTS_SHOWN:
            self._first_faults.append(f"{self.where(position)}: {fault}")

    def raise_faults(self) -> None:
        """Raise an ImageSetError that says how many faults there are and shows the first ones, if there are any."""
        if self._num_faults == 0:
            return
        count = f"{self._num_faults:,} fault{'s' if self._num_faults > 1 else ''}"
        shown = f", of which the first {NUM_FAULTS_SHOWN}" if self._num_faults > NUM_FAULTS_SHOWN else ""
        lines = "".join(f"\n  - {line}" for line in self._first_faults)
        raise ImageSetError(f"{self.origin} has {count}{shown}:{lines}")

    def to_image_set(
        self,
        name: str,
        class_names: ClassNames | None,
        metric: str,
        test_fraction: float | None,
        seed: int,
        *,
        rules: LabelRules = NO_RULES,
        labels_are_text: bool = False,
        files_exist: bool = False,
    ) -> ImageSet:
        """Make an image set of the rows, and hold out a `test_fraction` of train as test unless it is None.

        Rows whose label means none by the `rules` are left out. With `labels_are_text`, labels come from a text file,
        which does not tell integers from names. With `files_exist`, the rows were made by listing folders, so their
        files need no check. Faults of files and labels raise an ImageSetError, which counts them all and shows the
        first ones with their places.
        """
        self._leave_out_unlabelled(rules)
        if "train" not in self.splits:
            self.raise_faults()
            found = sorted(self.splits) or "no image at all"
            raise ImageSetError(f"{self.origin} must hold images of train, but holds {found}; add them")
        self._check_files(exist=files_exist)
        read = partial(read_label, known=frozenset(map(str, class_names or ())), rules=rules)
        given = {split: self._translated(split, rows.labels, read) for split, rows in self.splits.items()}
        self.raise_faults()
        given = self._spelled(given, class_names, rules)
        if labels_are_text:
            texts = list(dict.fromkeys(str(label) for labels in given.values() for label in labels))
            meaning = integers_of_texts(texts, class_names)
            given = {split: [meaning[str(label)] for label in labels] for split, labels in given.items()}
        self._check_one_kind(given)
        classes = find_classes(list(dict.fromkeys(given["train"])), class_names, name)
        indices = {
            split: self._translated(split, labels, partial(classes.find, split=split))
            for split, labels in given.items()
        }
        self.raise_faults()
        tables = {split: self.splits[split].to_table(labels) for split, labels in indices.items()}
        splits = with_test(tables, fraction=test_fraction, seed=seed, set_name=name, class_names=classes.names)
        return image_set_of_tables(name, classes.names, splits, metric, root=_common_folder(tables))

    def _translated(self, split: str, labels: Sequence[object], translate: Callable[..., _LabelT]) -> list[_LabelT]:
        """Translate each row's label; an ImageSetError of one becomes a fault of its row."""

        def attempt(label: object) -> _LabelT | ImageSetError:
            try:
                return translate(label)
            except ImageSetError as error:
                return error

        attempt_once = lru_cache(typed=True)(attempt)  # typed: True and 1.0 are not the label 1
        translated: list[_LabelT] = []
        for label, position in zip(labels, self.splits[split].positions, strict=True):
            found = attempt_once(label) if isinstance(label, str | int) else attempt(label)
            if isinstance(found, ImageSetError):
                self.add_fault(position, found)
            else:
                translated.append(found)
        return translated

    def _leave_out_unlabelled(self, rules: LabelRules) -> None:
        """Drop the rows without a label, and splits that have no other."""
        for split, rows in list(self.splits.items()):
            have_labels = [not rules.means_none(label) for label in rows.labels]
            if not any(have_labels):
                del self.splits[split]
            elif not all(have_labels):
                rows.keep(have_labels)

    def _spelled(
        self, given: Mapping[str, list[Label]], class_names: ClassNames | None, rules: LabelRules
    ) -> dict[str, list[Label]]:
        """Spell the labels of all splits by the rules; an ImageSetError of two spellings names the data."""
        labels = dict.fromkeys(label for each in given.values() for label in each)
        keys = class_names if isinstance(class_names, Mapping) else ()
        try:
            spelling = rules.spell(labels, [str(known) for known in (*keys, *(() if keys else class_names or ()))])
        except ImageSetError as error:
            raise ImageSetError(f"{self.origin}: {error}") from error
        return {split: [spelling.get(label, label) for label in each] for split, each in given.items()}

    def _check_one_kind(self, given: Mapping[str, list[Label]]) -> None:
        first: dict[type, str] = {}
        for split, labels in given.items():
            for label, position in zip(labels, self.splits[split].positions, strict=True):
                if type(label) not in first:
                    first[type(label)] = f"{self.where(position)} has {label!r}"
        if len(first) > 1:
            raise ImageSetError(
                f"labels of {self.origin} must be all integers or all class names, but {' and '.join(first.values())}; "
                "write them in one way"
            )

    def _check_files(self, *, exist: bool) -> None:
        """Add a fault for each file that is missing, listed twice, or equal to another but for case."""
        seen: dict[tuple[str, str], tuple[str, int]] = {}
        for rows in self.splits.values():
            is_held = rows.contents().is_valid().to_pylist()
            for path, position, held in zip(rows.paths, rows.positions, is_held, strict=True):
                if held or is_reference(path):
                    continue
                folder, name = os.path.split(path)
                before = seen.setdefault((folder, name.casefold()), (name, position))
                if before[1] != position:
                    self.add_fault(position, _twice(path, name, before[0], self.where(before[1])))
                elif not exist and not Path(path).is_file():
                    self.add_fault(position, f"the image's file must exist, but {path!r} does not; check the path")


def read_group(value: object) -> str:
    """Return the name of the group of an image, given as text or an integer; anything else raises an ImageSetError.

    >>> read_group(17)
    '17'
    """
    if isinstance(value, str) and not NO_RULES.is_missing(value):
        return value.strip()
    if not isinstance(value, bool):
        with suppress(TypeError):
            return str(operator.index(value))  # type: ignore[arg-type]
    raise ImageSetError(
        f"a group must be a name or an integer, but is {value!r}; fill it in, with a name of its own for an image that "
        "belongs to no other"
    )


def check_columns(place: str, names: Sequence[str], wanted: Sequence[str | None]) -> None:
    """Raise an ImageSetError if a wanted column, other than None, is missing or occurs more than once."""
    for column in wanted:
        if column is not None and names.count(column) != 1:
            raise ImageSetError(
                f"{place} must have one column {column!r}, but its columns are {', '.join(names)}; name one "
                f"of these, or add it.{nearest_word(column, names)}"
            )


def _twice(path: str, name: str, name_before: str, place_before: str) -> str:
    if name == name_before:
        return f"a file must be listed once, but {path!r} is at {place_before} too; remove one of them"
    return (
        f"two files of a folder must not differ by upper and lower case alone, but {path!r} does from {name_before!r} "
        f"at {place_before}, and on some disks they are one file; rename or remove one of them"
    )


def _common_folder(tables: Mapping[str, pa.Table]) -> Path | None:
    """Return the deepest folder that holds all files; names relative to it do not change where the set is moved."""
    folders: set[str] = set()
    for table in tables.values():
        unread = table.filter(table["content"].is_null())["path"].to_pylist()
        files = (str(parse_reference(path).file) if is_reference(path) else path for path in unread)
        folders |= {file.rpartition(os.sep)[0] for file in files}
    return Path(os.path.commonpath(folders)) if folders else None
