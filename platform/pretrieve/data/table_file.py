"""Parquet and Arrow files: metadata, columns, and references to single images, which are read block by block.

ImageNet in Parquet has 140 GB, so its image table holds references, `parquet:<file>#<row group>/<row>/<column>`. Each
image is read where it is needed, and no file is ever read whole.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pretrieve.errors import ImageSetError

PREFIX = "parquet:"

MAX_OPEN_GROUPS = 4
"""Groups of rows that one process keeps open; it holds one block of images of each."""

ROWS_AT_ONCE = 64
"""Rows of one block: a row group of many gigabytes is read this many images at a time."""

_PARQUET_MAGIC = b"PAR1"
_ARROW_FILE_MAGIC = b"ARROW1"
_END_BYTES = 1024**2


@dataclass(frozen=True)
class TableFile:
    """One file of a table; `group_rows` has the rows of each row group (Parquet) or record batch (Arrow), in order."""

    path: Path
    schema: pa.Schema
    group_rows: tuple[int, ...]
    num_bytes: int


def describe_table_file(path: Path) -> TableFile:
    """Read the columns and the groups of rows of a Parquet file or an Arrow file or stream; others raise an OSError."""
    with _os_errors(path):
        if _is_parquet(path):
            with pq.ParquetFile(path) as file:
                rows = tuple(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
                return TableFile(path, file.schema_arrow, rows, path.stat().st_size)
        rows = tuple(batch.num_rows for batch in _arrow_batches(path))
        return TableFile(path, _open_arrow(path).schema, rows, path.stat().st_size)


def read_columns(file: TableFile, columns: Sequence[str]) -> pa.Table:
    """Read some columns of all rows; a file that cannot be read raises an OSError."""
    with _os_errors(file.path):
        if _is_parquet(file.path):
            with pq.ParquetFile(file.path) as opened:
                return opened.read(columns=list(columns))
        batches = [batch.select(list(columns)) for batch in _arrow_batches(file.path)]
        return pa.Table.from_batches(batches, pa.schema([file.schema.field(column) for column in columns]))


def count_missing_images(file: TableFile, column: str) -> list[int]:
    """Count the rows of each group without image bytes; the images themselves are not read.

    A Parquet file without statistics counts as complete, because finding out would mean reading all of it.
    """
    with _os_errors(file.path):
        if not _is_parquet(file.path):
            return [image_bytes(batch.column(column)).null_count for batch in _arrow_batches(file.path)]
        leaf = _parquet_leaf(file.schema, column)
        with pq.ParquetFile(file.path) as opened:
            return [_missing_in_group(opened.metadata.row_group(group), leaf) for group in range(opened.num_row_groups)]


def read_image_blocks(path: Path, group: int, column: str) -> Iterator[pa.Array]:
    """Yield the images of one group of rows, at most `ROWS_AT_ONCE` at a time; an unknown group raises an OSError."""
    with _os_errors(path):
        if _is_parquet(path):
            # Mapped and not buffered ahead: pages are decoded on demand, so memory holds one block, not a whole group.
            opened = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
            leaf = _parquet_leaf(opened.schema_arrow, column)
            batches = opened.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[leaf], use_threads=False)
            yield from (image_bytes(batch.column(0)) for batch in batches)
        else:
            yield image_bytes(next(_arrow_batches(path, start=group)).column(column))


def image_bytes(column: pa.Array) -> pa.Array:
    """Take the bytes out of a column of structs {bytes, path}; return a column of bytes as it is."""
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def digest_of_table(path: Path, *, whole: bool) -> bytes:
    """Hash all of a file; or its size and its two ends, where Parquet and Arrow keep their metadata."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\0".encode())
    with path.open("rb") as file:
        if whole:
            while part := file.read(_END_BYTES):
                digest.update(part)
        else:
            digest.update(file.read(_END_BYTES))
            file.seek(max(0, size - _END_BYTES))
            digest.update(file.read())
    return digest.digest()


def _parquet_leaf(schema: pa.Schema, column: str) -> str:
    return f"{column}.bytes" if pa.types.is_struct(schema.field(column).type) else column


def _missing_in_group(group: Any, leaf: str) -> int:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema == leaf:
            statistics = chunk.statistics
            return statistics.null_count if statistics is not None and statistics.has_null_count else 0
    return 0


def _open_arrow(path: Path) -> Any:
    """Open an Arrow file or stream, mapped into memory where it is not compressed."""
    source = pa.memory_map(str(path))
    return pa.ipc.open_file(source) if _magic(path).startswith(_ARROW_FILE_MAGIC) else pa.ipc.open_stream(source)


def _arrow_batches(path: Path, start: int = 0) -> Iterator[pa.RecordBatch]:
    reader = _open_arrow(path)
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(index) for index in range(start, reader.num_record_batches))
    return islice(reader, start, None)


def _is_parquet(path: Path) -> bool:
    return _magic(path).startswith(_PARQUET_MAGIC)


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_ARROW_FILE_MAGIC))


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Raise an OSError for whatever Arrow raises: to a caller it means that the file is not readable."""
    try:
        yield
    except (pa.ArrowException, KeyError, IndexError, StopIteration, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, which names the file
        raise OSError(
            f"a table must be a whole Parquet or Arrow file, but {path} is not: {error or 'no such rows'}"
        ) from error


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

    Rows of a group are each decoded once if they are read in order; a step back reads the group again from its start.
    A file that is gone, has become another or lacks the row raises an OSError, a row without an image an ImageSetError.
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
    """One group of rows, read forward one block at a time.

    The block before is kept, because threads that read the rows in their order do not ask in it.
    """

    def __init__(self, reference: TableReference) -> None:
        self._reference = reference
        self._rewind()

    def _rewind(self) -> None:
        self._blocks = read_image_blocks(self._reference.file, self._reference.group, self._reference.column)
        self._start = self._start_before = 0
        self._block: pa.Array = pa.array([], pa.binary())
        self._before = self._block

    def read(self, row: int) -> bytes | None:
        if row < self._start_before:
            self._rewind()
        if row < self._start:
            return cast("bytes | None", self._before[row - self._start_before].as_py())
        while row >= self._start + len(self._block):
            self._start_before, self._before = self._start, self._block
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
