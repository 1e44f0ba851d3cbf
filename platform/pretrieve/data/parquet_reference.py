"""References to images that stay inside a Parquet or Arrow file, and the bytes behind them.

ImageNet in Parquet has 140 GB, so its image table holds references, `parquet:<file>#<row group>/<row>/<column>`. Each
image is read where it is needed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa

from pretrieve.data.table_file import read_image_blocks
from pretrieve.errors import ImageSetError

PREFIX = "parquet:"

MAX_OPEN_GROUPS = 4
"""Groups of rows that one process keeps open; it holds one block of images of each."""


@dataclass(frozen=True)
class TableReference:
    """One image of a Parquet file, or of an Arrow file or stream: a `row` of a row group or record batch, from 0.

    The `column` holds bytes, or structs {bytes, path}.
    """

    file: Path
    group: int
    row: int
    column: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.file}#{self.group}/{self.row}/{quote(self.column, safe='')}"


def is_reference(path: str) -> bool:
    """Return whether a path is a reference rather than the path of a file."""
    return path.startswith(PREFIX)


def parse_reference(path: str) -> TableReference:
    """Read the text of a reference; any other text raises an ImageSetError.

    >>> parse_reference("parquet:/data/train.parquet#3/17/image").row
    17
    """
    file, _, place = path.removeprefix(PREFIX).rpartition("#")
    try:
        group, row, column = place.split("/")
        return TableReference(Path(file), int(group), int(row), unquote(column))
    except ValueError as error:
        raise ImageSetError(
            f"a reference must read {PREFIX}<file>#<row group>/<row>/<column>, but is {path!r}; load the table again"
        ) from error


def read_reference(path: str) -> bytes:
    """Read the bytes of the encoded image that a reference stands for.

    Rows of a group are each decoded once where they are read in order; a step back starts the group anew. A file that
    is gone, has become another or lacks the row raises an OSError, a row without an image raises an ImageSetError.
    """
    reference = parse_reference(path)
    with _lock:
        # A rewritten file is another file: a worker outlives the study that first read it.
        status = reference.file.stat()
        key = (reference.file, reference.group, reference.column, status.st_mtime_ns, status.st_size)
        if key not in _groups:
            _groups[key] = _OpenGroup(reference)
        _groups.move_to_end(key)
        while len(_groups) > MAX_OPEN_GROUPS:
            _groups.popitem(last=False)
        content = _groups[key].read(reference.row)
    if content is None:
        raise ImageSetError(f"a row of a table must hold an image, but {path} holds none; leave the row out")
    return content


class _OpenGroup:
    """One group of rows, read forward one block at a time."""

    def __init__(self, reference: TableReference) -> None:
        self._reference = reference
        self._rewind()

    def _rewind(self) -> None:
        self._blocks = read_image_blocks(self._reference.file, self._reference.group, self._reference.column)
        self._start = 0
        self._block: pa.Array = pa.array([], pa.binary())

    def read(self, row: int) -> bytes | None:
        if row < self._start:
            self._rewind()
        while row >= self._start + len(self._block):
            self._start += len(self._block)
            self._block = next(self._blocks, None)
            if self._block is None:
                self._rewind()
                raise OSError(
                    f"{self._reference.file} must have row {row} in group {self._reference.group}, but has not"
                )
        content: bytes | None = self._block[row - self._start].as_py()
        return content


_lock = threading.Lock()
_groups: OrderedDict[tuple[Path, int, str, int, int], _OpenGroup] = OrderedDict()
