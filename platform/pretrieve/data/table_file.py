"""Read the metadata of a Parquet or Arrow file, and its rows block by block, never the whole file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
