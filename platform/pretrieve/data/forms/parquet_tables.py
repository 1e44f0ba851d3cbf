"""Image sets in Parquet or Arrow tables, as Hugging Face and others publish them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pretrieve.data.folder_walk import visible_folders
from pretrieve.data.forms.given_labels import ClassNames, Label, LabelRules
from pretrieve.data.forms.rows import GivenRows, check_columns, read_group
from pretrieve.data.forms.table_folder import TABLE_SUFFIXES, tables_of_folder
from pretrieve.data.image_set import ImageSet
from pretrieve.data.split_words import read_split, split_of_name
from pretrieve.data.table_file import TableFile, TableReference, count_missing_images, describe_table_file, read_columns
from pretrieve.errors import ImageSetError, nearest_word

TableFiles = str | Path | Sequence[str | Path]
TablePaths = TableFiles | Mapping[str, TableFiles]

TEXT_TYPES = ("string", "large_string", "string_view")

HELD_TABLES_LIMIT = 256 * 1024**2
"""Tables of up to this many bytes in all are held in memory; images of larger ones are read where they are needed."""


@dataclass(frozen=True)
class _Columns:
    """The columns that are read; `kind` of images is "structs" of {bytes, path}, "bytes" or "paths"."""

    image: str
    label: str
    split: str | None
    group: str | None
    kind: str


def load_parquet(
    tables: TablePaths,
    *,
    name: str,
    image_column: str = "image",
    label_column: str = "label",
    split_column: str | None = "split",
    group_column: str | None = None,
    root: str | Path | None = None,
    config: str | None = None,
    class_names: ClassNames | None = None,
    no_label: Label | Sequence[Label] = (),
    missing_values: Sequence[str] | None = None,
    normalise_labels: bool = False,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read an image set from Parquet files, or Arrow (Feather) files or streams, in the order of files and rows.

    Tables of more than `HELD_TABLES_LIMIT` bytes are never read whole: the rows of the image set refer to them
    (`table_file`), and the tables must stay where they are.

    Args:
      tables: a folder, a file, files, or a mapping from splits to them. Without a mapping, `split_column` gives the
        split, or else the file's name (`validation-00000-of-00014.parquet`) or its folder's; otherwise all is train.
      name: the set's name.
      image_column: of bytes, of structs {bytes, path} as Hugging Face writes them, or of paths.
      label_column: of names; or of integers, whose names come from Hugging Face's metadata where there are any.
      split_column: of train, val or test; used where the tables have it.
      group_column: of groups, such as patients or clips, by name or number; a split never parts the images of one.
      root: the folder that relative image paths start from; None means the table's own.
      config: the folder of one config below `tables`, where there are several of the same images.
      class_names: names in the order of integer labels, or a mapping from each label to its name, which may have gaps;
        None takes those of the metadata, or the labels' own.
      no_label: a label, or labels, that mean that there is none; such rows are left out.
      missing_values: words for a forgotten label, which is an error; see `LabelRules`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test split.
      seed: decides which images are held out.

    Raises:
      ImageSetError: a table, shard or column is missing or of another kind, there are several configs, tables
        disagree on class names, or rows are at fault: all are counted, the first five shown with file and row, counted
        from 0.
    """
    found = find_tables(tables, name, config)
    try:
        files = [describe_table_file(path) for path, _ in found]
    except OSError as error:
        raise ImageSetError(f"{error}; fetch it again") from error
    split_column = None if isinstance(tables, Mapping) else split_column
    columns = _find_columns(files, image_column, label_column, split_column, group_column)
    rules = LabelRules(no_label, missing_values, normalise_labels)
    rows = GivenRows(f"the table of {name!r}")
    holds = sum(file.num_bytes for file in files) <= HELD_TABLES_LIMIT
    folder = None if root is None else Path(root).expanduser().absolute()
    for file, (_, split) in zip(files, found, strict=True):
        rows.begin(partial("{}, row {}".format, file.path))
        table = read_columns(file, list(filter(None, (columns.label, columns.split, columns.group))))
        labels = table[columns.label].to_pylist()
        words = table[columns.split].to_pylist() if columns.split else [split or "train"] * len(labels)
        groups = table[columns.group].to_pylist() if columns.group else [None] * len(labels)
        images = _images(file, columns, holds)
        for number, (label, word, group, image) in enumerate(zip(labels, words, groups, images, strict=True)):
            with rows.row():
                path, content = _path_and_content(image, f"{file.path.name}#{number}", folder or file.path.parent)
                group_name = read_group(group) if columns.group else None
                rows.add(read_split(word), label, path=path, content=content, group=group_name)
    names = _class_label_names(files, columns.label) if class_names is None else class_names
    return rows.to_image_set(name, names, metric, test_fraction, seed, rules=rules)


def _images(file: TableFile, columns: _Columns, holds: bool) -> Iterator[Any]:
    """Yield what each row holds as its image, or a reference to it where the table is too large to be held."""
    missing = [] if columns.kind == "paths" else count_missing_images(file, columns.image)
    # Structs may hold nothing but paths: then their column is small, whatever the images are.
    only_paths = columns.kind == "paths" or (columns.kind == "structs" and sum(missing) == sum(file.group_rows))
    if only_paths or holds:
        for batch in read_columns(file, [columns.image]).to_batches(max_chunksize=64):
            yield from batch.column(columns.image).to_pylist()
        return
    for group, (num_rows, num_missing) in enumerate(zip(file.group_rows, missing, strict=True)):
        if num_missing:
            raise ImageSetError(
                f"every row of a table must hold an image, but {num_missing} rows of {file.path}, row group {group}, "
                "hold none; leave them out"
            )
        yield from (TableReference(file.path, group, row, columns.image) for row in range(num_rows))


def _path_and_content(image: Any, row_name: str, root: Path) -> tuple[str, bytes | None]:
    if isinstance(image, TableReference):
        return str(image), None
    path = image if isinstance(image, str) else None
    if isinstance(image, Mapping):
        image, path = image.get("bytes"), image.get("path")
    if isinstance(image, bytes) and image:
        return f"{row_name} {path}" if path else row_name, image
    if not path:
        raise ImageSetError("a row must hold an image, but holds neither bytes nor a path; leave the row out")
    return os.path.normpath(root / path), None


def find_tables(tables: TablePaths, name: str, config: str | None = None) -> list[tuple[Path, str | None]]:
    """List the files of a table (see `load_parquet`) in order: absolute paths, each with train, val, test or None.

    None means that no name gives the split. A file that is missing or given twice, no file at all, and names that give
    the splits of some files only raise an ImageSetError. So do folders of tables from which some are missing, or that
    hold several configs of one split; `config` names the folder of one.
    """
    found: list[tuple[Path, str | None]]
    if config is not None:
        tables = _folder_of_config(tables, config, name)
    if isinstance(tables, Mapping):
        found = [(path, read_split(split)) for split, given in tables.items() for path, _ in _list_files(given, name)]
    else:
        found = _list_files(tables, name)
    paths = [path for path, _ in found]
    twice = next((path for path, number in Counter(paths).items() if number > 1), None)
    if twice is not None:
        raise ImageSetError(f"each table of {name!r} must be given once, but {twice} is given twice; remove one")
    without_split = [path for path, split in found if split is None]
    if without_split and len(without_split) < len(found):
        raise ImageSetError(
            f"names must give the split of all tables of {name!r} or of no table, but {len(without_split)} give none, "
            f"the first {without_split[0]}; give a mapping from splits to files"
        )
    return found


def _list_files(given: TableFiles, name: str) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = []
    for path in [given] if isinstance(given, str | Path) else given:
        absolute = Path(path).expanduser().absolute()
        if absolute.is_dir():
            found += tables_of_folder(absolute, name)
        elif absolute.is_file():
            found.append((absolute, split_of_name(absolute.name)))
        else:
            raise ImageSetError(f"a table of {name!r} must exist, but {absolute} does not; check the path")
    if not found:
        raise ImageSetError(
            f"{given} of {name!r} must hold tables, but holds none; known suffixes: {', '.join(TABLE_SUFFIXES)}"
        )
    return found


def _folder_of_config(tables: TablePaths, config: str, name: str) -> Path:
    folder = Path(tables).expanduser().absolute() if isinstance(tables, str | Path) else None
    if folder is None or not (folder / config).is_dir():
        words = visible_folders(folder) if folder is not None and folder.is_dir() else []
        raise ImageSetError(
            f"config of {name!r} must be a folder of its tables, but {config!r} is none.{nearest_word(config, words)}"
        )
    return folder / config


def _find_columns(files: Sequence[TableFile], image: str, label: str, split: str | None, group: str | None) -> _Columns:
    """Find the columns of all tables and check that images are of one kind; a column named `split` may be missing."""
    has_split = split is not None and any(split in file.schema.names for file in files)
    used_split = split if has_split or split != "split" else None
    kinds = set()
    for file in files:
        check_columns(str(file.path), file.schema.names, (image, label, used_split or None, group))
        kinds.add(_kind_of_images(file, image))
        _check_labels(file, label)
    if len(kinds) > 1:
        raise ImageSetError(f"column {image!r} must be of one kind in all tables, but is {' and '.join(sorted(kinds))}")
    return _Columns(image, label, used_split, group, kinds.pop())


def _kind_of_images(file: TableFile, column: str) -> str:
    kind = _plain_type(file.schema.field(column).type)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return "structs"
    if str(kind) in ("binary", "large_binary", "binary_view"):
        return "bytes"
    if str(kind) in TEXT_TYPES:
        return "paths"
    raise ImageSetError(
        f"column {column!r} of {file.path} must hold encoded images as bytes or as structs {{bytes, path}}, or paths, "
        f"but holds {kind}; give the images' column as image_column, or encode them"
    )


def _check_labels(file: TableFile, column: str) -> None:
    kind = _plain_type(file.schema.field(column).type)
    if not (pa.types.is_integer(kind) or str(kind) in TEXT_TYPES):
        raise ImageSetError(
            f"column {column!r} of {file.path} must hold integers or class names, but holds {kind}; give the labels' "
            "column as label_column, or write it as integers (missing labels make pandas write fractions)"
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _class_label_names(files: Sequence[TableFile], column: str) -> list[str] | None:
    """Return the class names that Hugging Face wrote into the tables' metadata; None where there are none."""
    found = {file.path: _names_in_metadata(file.schema, column) for file in files}
    first = next(iter(found))
    for path, names in found.items():
        if names != found[first]:
            raise ImageSetError(
                f"class names in the metadata of all tables must be the same, but {path} and {first} differ; load them "
                "apart, or give class_names"
            )
    return found[first]


def _names_in_metadata(schema: pa.Schema, column: str) -> list[str] | None:
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return None
    try:
        feature = json.loads(written)["info"]["features"][column]
        return list(map(str, feature["names"])) if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # metadata of another version: the labels have no names
