"""Image sets in Parquet or Arrow tables, as Hugging Face and others publish them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pretrieve.data.forms.assembly import WantedSet, assemble_image_set
from pretrieve.data.forms.given_labels import ClassNames
from pretrieve.data.forms.given_rows import GivenRows
from pretrieve.data.forms.split_words import read_split
from pretrieve.data.forms.table_columns import ImageTableColumns, class_label_names, find_columns
from pretrieve.data.forms.table_paths import TablePaths, find_tables
from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.data.parquet_reference import TableReference
from pretrieve.data.table_file import TableFile, count_missing_images, describe_table_file, read_columns
from pretrieve.errors import ImageSetError

HELD_TABLES_LIMIT = 256 * 1024**2
"""Tables of up to this many bytes in all are held in memory; images of larger ones are read where they are needed."""


def load_parquet(
    tables: TablePaths,
    *,
    name: str,
    image_column: str = "image",
    label_column: str = "label",
    split_column: str | None = "split",
    root: str | Path | None = None,
    class_names: ClassNames | None = None,
    metric: Metric = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read an image set from Parquet files, or Arrow (Feather) files or streams, in the order of files and rows.

    Tables of more than `HELD_TABLES_LIMIT` bytes are never read whole: the rows of the image set refer to them
    (`parquet_reference`), and the tables must stay where they are.

    Args:
      tables: a folder, a file, files, or a mapping from splits to them. Without a mapping, `split_column` tells the
        split, or else the file's name (`validation-00000-of-00014.parquet`) or its folder's; otherwise all is train.
      name: the set's name.
      image_column: of bytes, of structs {bytes, path} as Hugging Face writes them, or of paths.
      label_column: of names; or of integers, whose names come from Hugging Face's metadata where there are any.
      split_column: of train, val or test; used where the tables have it.
      root: the folder that relative image paths start from; None means the table's own.
      class_names: names in the order of integer labels, or a mapping from each label to its name, which may have gaps;
        None takes those of the metadata, or the labels' own.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test split.
      seed: decides which images are held out.

    Raises:
      ImageSetError: a table or column is missing or of another kind, tables disagree on class names, or rows are at
        fault: all are counted, the first five shown with file and row, counted from 0.
    """
    found = find_tables(tables, name)
    files = [_described(path) for path, _ in found]
    columns = find_columns(files, image_column, label_column, None if isinstance(tables, Mapping) else split_column)
    starts = list(accumulate((sum(file.group_rows) for file in files), initial=0))
    rows = GivenRows(f"the table of {name!r}", lambda position: _where(files, starts, position))
    holds = sum(file.num_bytes for file in files) <= HELD_TABLES_LIMIT
    folder = None if root is None else Path(root).expanduser().absolute()
    for file, (_, split), start in zip(files, found, starts, strict=False):
        _add_table(rows, file, columns, split, start, folder or file.path.parent, holds)
    names = class_label_names(files, columns.label) if class_names is None else class_names
    return assemble_image_set(rows, WantedSet(name, names, metric, test_fraction, seed))


def _described(path: Path) -> TableFile:
    try:
        return describe_table_file(path)
    except OSError as error:
        raise ImageSetError(f"{error}; fetch it again") from error


def _where(files: Sequence[TableFile], starts: Sequence[int], position: int) -> str:
    number = bisect_right(starts, position) - 1
    while not sum(files[number].group_rows):
        number -= 1
    return f"{files[number].path}, row {position - starts[number]}"


def _add_table(
    rows: GivenRows,
    file: TableFile,
    columns: ImageTableColumns,
    split: str | None,
    start: int,
    root: Path,
    holds: bool,
) -> None:
    table = read_columns(file, [columns.label, *([columns.split] if columns.split else [])])
    labels = table[columns.label].to_pylist()
    words = table[columns.split].to_pylist() if columns.split else [split or "train"] * len(labels)
    images = _images(file, columns, root, holds)
    for position, (label, word, image) in enumerate(zip(labels, words, images, strict=True), start):
        try:
            if isinstance(image, ImageSetError):
                raise image
            row_split = read_split(word)
        except ImageSetError as error:
            rows.add_fault(position, error)
            continue
        path, content = image
        rows.add(row_split, path=path, content=content, label=label, position=position)


Images = Iterator[tuple[str, bytes | None] | ImageSetError]


def _images(file: TableFile, columns: ImageTableColumns, root: Path, holds: bool) -> Images:
    missing = [] if columns.holds_paths else count_missing_images(file, columns.image)
    # Structs may hold nothing but paths: then their column is small, whatever the images are.
    only_paths = columns.holds_paths or (columns.is_struct and sum(missing) == sum(file.group_rows))
    if not (only_paths or holds):
        yield from _referred(file, columns.image, missing)
        return
    row = 0
    for batch in read_columns(file, [columns.image]).to_batches(max_chunksize=64):
        for image in batch.column(columns.image).to_pylist():
            yield _stored_image(image, f"{file.path.name}#{row}", root)
            row += 1


def _stored_image(image: Any, row_name: str, root: Path) -> tuple[str, bytes | None] | ImageSetError:
    path = None
    if isinstance(image, Mapping):
        image, path = image.get("bytes"), image.get("path")
    if isinstance(image, bytes) and image:
        return f"{row_name} {path}" if path else row_name, image
    path = image if isinstance(image, str) else path
    if not path:
        return ImageSetError("a row must hold an image, but holds neither bytes nor a path; leave the row out")
    return os.path.normpath(root / path), None


def _referred(file: TableFile, column: str, missing: Sequence[int]) -> Images:
    for group, (num_rows, num_missing) in enumerate(zip(file.group_rows, missing, strict=True)):
        if num_missing:
            raise ImageSetError(
                f"every row of a table must hold an image, but {num_missing} rows of {file.path}, row group {group}, "
                "hold none; leave them out"
            )
        for row in range(num_rows):
            yield str(TableReference(file.path, group, row, column)), None
