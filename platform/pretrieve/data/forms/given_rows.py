"""Rows of a user's data as they were read, before their labels are understood."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pretrieve.data.image_table import SCHEMA
from pretrieve.data.parquet_reference import is_reference
from pretrieve.errors import ImageSetError

HELD_BYTES_LIMIT = 8 * 1024**3
"""Encoded images of one set that are held in memory; more of them must stay in files."""

_BLOCK_BYTES = 64 * 1024**2

NUM_FAULTS_SHOWN = 5


class Faults:
    """Counts the faults of one data set and keeps the first ones.

    Args:
      origin: what the data are, as the error's first words.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._count = 0
        self._first: list[str] = []

    def add(self, place: str, fault: object) -> None:
        """Note a fault with its place; a table of a million bad rows costs no memory."""
        self._count += 1
        if len(self._first) < NUM_FAULTS_SHOWN:
            self._first.append(f"{place}: {fault}")

    def raise_if_any(self) -> None:
        """Raise what was noted.

        Raises:
          ImageSetError: a fault was noted; says how many there are and shows the first ones.
        """
        if self._count == 0:
            return
        count = f"{self._count:,} fault{'s' if self._count > 1 else ''}"
        shown = f", of which the first {NUM_FAULTS_SHOWN}" if self._count > NUM_FAULTS_SHOWN else ""
        lines = "".join(f"\n  - {line}" for line in self._first)
        raise ImageSetError(f"{self._origin} has {count}{shown}:{lines}")


@dataclass
class SplitRows:
    """The rows of one split.

    Attributes:
      paths: files, references, or readable names of contents.
      labels: as they were given.
      places: for each row the number by which `GivenRows.where` tells its place.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[object] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    _pending: list[bytes | None] = field(default_factory=list)
    _pending_bytes: int = 0
    _blocks: list[pa.Array] = field(default_factory=list)

    def add_content(self, content: bytes | None) -> None:
        """Pack contents block by block: a stream of examples is never held twice."""
        self._pending.append(content)
        self._pending_bytes += len(content or b"")
        if self._pending_bytes >= _BLOCK_BYTES:
            self._pack()

    def _pack(self) -> None:
        self._blocks.append(pa.array(self._pending, pa.binary()))
        self._pending, self._pending_bytes = [], 0

    def holds_contents_of(self) -> list[bool]:
        """Tell for each row whether its image is held here rather than in a file."""
        self._pack()
        return [valid for block in self._blocks for valid in block.is_valid().to_pylist()]

    def to_table(self, labels: Sequence[int]) -> pa.Table:
        """Make the image table of these rows with labels in [0, K)."""
        self._pack()
        index, paths, known = (
            pa.array(range(len(labels))),
            pa.array(self.paths, pa.string()),
            pa.array(labels, pa.int64()),
        )
        contents = pa.chunked_array(self._blocks, pa.binary())
        return pa.Table.from_arrays([index, paths, contents, known], schema=SCHEMA)


class GivenRows:
    """The rows of all splits of one set.

    Args:
      origin: what the data are, in errors.
      where: from a row's number to its place in words, for example "labels.csv, line 7".

    Attributes:
      splits: rows by split.
      faults: what is wrong with them so far.
    """

    def __init__(self, origin: str, where: Callable[[int], str]) -> None:
        self.origin = origin
        self.where = where
        self.splits: dict[str, SplitRows] = {}
        self.faults = Faults(origin)
        self._held_bytes = 0

    def add(self, split: str, *, path: str, content: bytes | None, label: object, place: int) -> None:
        """Add a row.

        Raises:
          ImageSetError: the images held in memory have become too many.
        """
        rows = self.splits.setdefault(split, SplitRows())
        rows.paths.append(path)
        rows.labels.append(label)
        rows.places.append(place)
        rows.add_content(content)
        self._held_bytes += len(content or b"")
        if self._held_bytes > HELD_BYTES_LIMIT:
            raise ImageSetError(
                f"images of {self.origin} held in memory must not exceed {HELD_BYTES_LIMIT:,} bytes, but do at "
                f"{self.where(place)}; write them as image files in folders or as Parquet, whose images stay on disk"
            )

    def check_files(self, *, exist: bool = False) -> None:
        """Note files that are missing, listed twice, or the same but for upper and lower case.

        Args:
          exist: the files were found by listing folders, so none is missing.
        """
        seen: dict[tuple[str, str], tuple[str, int]] = {}
        for rows in self.splits.values():
            for path, place, is_held in zip(rows.paths, rows.places, rows.holds_contents_of(), strict=True):
                if not is_held and not is_reference(path):
                    self._check_file(path, place, seen, exist)

    def _check_file(self, path: str, place: int, seen: dict[tuple[str, str], tuple[str, int]], exists: bool) -> None:
        folder, name = os.path.split(path)
        before = seen.setdefault((folder, name.casefold()), (name, place))
        if before[1] != place:
            self.faults.add(self.where(place), _twice(path, name, before[0], self.where(before[1])))
        elif not exists and not Path(path).is_file():
            self.faults.add(self.where(place), f"the image's file must exist, but {path!r} does not; check the path")


def _twice(path: str, name: str, name_before: str, place_before: str) -> str:
    if name == name_before:
        return f"a file must be listed once, but {path!r} is at {place_before} too; remove one of them"
    return (
        f"two files of a folder must not differ by upper and lower case alone, but {path!r} does from {name_before!r} "
        f"at {place_before}, and some disks take them for one; rename or remove one of them"
    )
