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
"""Encoded images of one set that may be held in memory, in bytes; more of them must stay in files."""

_BLOCK_BYTES = 64 * 1024**2

NUM_FAULTS_SHOWN = 5


@dataclass
class SplitRows:
    """The rows of one split; from a row's position `GivenRows.where` makes its place in words."""

    paths: list[str] = field(default_factory=list)  # files, references, or readable names of contents
    labels: list[object] = field(default_factory=list)
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

    def holds_contents_of(self) -> list[bool]:
        """Return for each row whether its image is held here rather than in a file."""
        self._pack()
        return [valid for block in self._blocks for valid in block.is_valid().to_pylist()]

    def to_table(self, labels: Sequence[int]) -> pa.Table:
        """Make the image table of these rows with labels in [0, K)."""
        self._pack()
        index = pa.array(range(len(labels)))
        contents = pa.chunked_array(self._blocks, pa.binary())
        columns = [index, pa.array(self.paths, pa.string()), contents, pa.array(labels, pa.int64())]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


class GivenRows:
    """The rows of all splits of one set, and what is wrong with them.

    Args:
      origin: what the data are, as an error's first words.
      where: from a row's position to its place in words, for example "labels.csv, line 7".
    """

    def __init__(self, origin: str, where: Callable[[int], str]) -> None:
        self.origin = origin
        self.where = where
        self.splits: dict[str, SplitRows] = {}
        self._held_bytes = 0
        self._num_faults = 0
        self._first_faults: list[str] = []

    def add(self, split: str, *, path: str, content: bytes | None, label: object, position: int) -> None:
        """Add a row; too many bytes of images held in memory raise an ImageSetError."""
        rows = self.splits.setdefault(split, SplitRows())
        rows.paths.append(path)
        rows.labels.append(label)
        rows.positions.append(position)
        rows.add_content(content)
        self._held_bytes += len(content or b"")
        if self._held_bytes > HELD_BYTES_LIMIT:
            raise ImageSetError(
                f"images of {self.origin} held in memory must not exceed {HELD_BYTES_LIMIT:,} bytes, but do at "
                f"{self.where(position)}; write them as image files in folders or as Parquet, whose images stay on disk"
            )

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

    def check_files(self, *, exist: bool = False) -> None:
        """Add a fault for each file that is missing, listed twice, or equal to another but for case.

        With `exist`, the files were found by listing folders, so none is missing.
        """
        seen: dict[tuple[str, str], tuple[str, int]] = {}
        for rows in self.splits.values():
            for path, position, is_held in zip(rows.paths, rows.positions, rows.holds_contents_of(), strict=True):
                if is_held or is_reference(path):
                    continue
                folder, name = os.path.split(path)
                before = seen.setdefault((folder, name.casefold()), (name, position))
                if before[1] != position:
                    self.add_fault(position, _twice(path, name, before[0], self.where(before[1])))
                elif not exist and not Path(path).is_file():
                    self.add_fault(position, f"the image's file must exist, but {path!r} does not; check the path")


def _twice(path: str, name: str, name_before: str, place_before: str) -> str:
    if name == name_before:
        return f"a file must be listed once, but {path!r} is at {place_before} too; remove one of them"
    return (
        f"two files of a folder must not differ by upper and lower case alone, but {path!r} does from {name_before!r} "
        f"at {place_before}, and some disks take them for one; rename or remove one of them"
    )
