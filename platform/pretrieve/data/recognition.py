"""Recognise what a path holds: a folder tree, a table of paths, Parquet or Arrow tables, or an archive of these."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pretrieve.data.archives import unpack_archive
from pretrieve.data.decode import IMAGE_SUFFIXES
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.folder_walk import visible_files, visible_folders
from pretrieve.data.forms.csv_table import delimiter_of
from pretrieve.data.forms.parquet_tables import find_tables
from pretrieve.data.forms.table_folder import TABLE_SUFFIXES, tables_of_folder
from pretrieve.data.split_words import SPLIT_WORDS
from pretrieve.data.table_file import describe_table_file
from pretrieve.errors import ImageSetError

LIST_SUFFIXES = (".csv", ".tsv")

_COLUMN_WORDS: Mapping[str, Sequence[str]] = {
    "image": ("path", "image", "file", "filename", "file_name", "filepath", "filepaths", "image_path", "img"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "fine_label"),
}
"""What people call the columns of a table, in lower case; the first that a table has is taken."""


def recognise(path: Path, *, unpack_to: Path) -> dict[str, Any]:
    """Return the fields of `ImageSetSettings` that name what a path holds, with absolute paths.

    Args:
      path: a folder, a CSV or TSV file, a Parquet or Arrow file, or an archive.
      unpack_to: the folder in which an archive is unpacked, into a folder of its name; one that is there is taken.

    Raises:
      ImageSetError: there is nothing there that a reader of image sets reads.
      OSError: it cannot be read, or the disk is full.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        return _of_folder(_within(path))
    if not path.is_file():
        raise ImageSetError(f"a folder or file of images must exist, but {path} does not; check the path")
    if path.suffix.lower() in LIST_SUFFIXES:
        return _with_columns("csv", path, _header(path))
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _of_tables(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise ImageSetError(f"a folder or table of images must be given, but {path} is one image; give its folder")
    folder = unpack_to.absolute() / re.sub(r"(\.tar)?\.[^.]+$", "", path.name)
    if not folder.is_dir():
        unpack_archive(path, folder)
    return _of_folder(_within(folder))


def _within(folder: Path) -> Path:
    """Return the folder that holds the images or splits, where it lies alone in others, as archives unpack."""
    inner = [folder / name for name in visible_folders(folder)]
    is_alone = len(inner) == 1 and inner[0].name.lower() not in SPLIT_WORDS and not _files_in(folder)
    return _within(inner[0]) if is_alone and visible_folders(inner[0]) else folder


def _files_in(folder: Path, suffixes: Sequence[str] = ()) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [path for path in files if not suffixes or path.suffix.lower() in suffixes]


def _of_folder(folder: Path) -> dict[str, Any]:
    if tables_of_folder(folder, folder.name):
        return _of_tables(folder)
    lists = _files_in(folder, LIST_SUFFIXES)
    try:
        tree = load_folder_tree(folder, name=folder.name)
    except ImageSetError as fault:
        if not lists:
            raise _without_classes(folder) or fault from fault
    else:
        # Images that a table lists often lie together in one folder, which is no class.
        if tree.num_classes > 1 or not lists:
            return {"folder": folder}
    if len(lists) > 1:
        names = ", ".join(each.name for each in lists)
        raise ImageSetError(
            f"a set of images must be listed in one table, but {folder} holds {names}; "
            "name one of them, or join them into one with a column split"
        )
    return _with_columns("csv", lists[0], _header(lists[0]))


def _without_classes(folder: Path) -> ImageSetError | None:
    """Describe a folder without images, or without the folders that would be their classes."""
    suffixes = (Path(name).suffix.lower() for name in visible_files(folder))
    if not any(suffix in IMAGE_SUFFIXES for suffix in suffixes):
        return ImageSetError(
            f"a folder to start from must hold images, but {folder} holds none; known suffixes: "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}; give the folder, table or archive of your images"
        )
    if visible_folders(folder):
        return None
    return ImageSetError(
        f"images must have classes, but those of {folder} lie in one folder; move those of each class into a folder of "
        "its name, or list them in a CSV file with the columns path and label"
    )


def _of_tables(path: Path) -> dict[str, Any]:
    try:
        names = describe_table_file(find_tables(path, path.name)[0][0]).schema.names
    except OSError as error:
        raise ImageSetError(f"{error}; fetch it again") from error
    return _with_columns("parquet", path, names)


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeDecodeError as error:
        raise ImageSetError(f"{path} must be a CSV or TSV file in UTF-8, but: {error}; save it as that") from error
    return [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter_of(first)), [])]


def _with_columns(form: str, path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Name the columns of a table that its reader would not take by itself."""
    usual = {"image": "path" if form == "csv" else "image", "label": "label"}
    columns = {}
    for column, words in _COLUMN_WORDS.items():
        found = {name.lower(): name for name in reversed(names)}
        taken = usual[column] if usual[column] in names else next((found[word] for word in words if word in found), "")
        if not taken:
            kind = "paths of images" if column == "image" else "class names"
            raise ImageSetError(
                f"a table of images must have a column of {kind}, such as {usual[column]!r}, but {path} has "
                f"{', '.join(names) or 'none'}; rename the column of {kind} to {usual[column]!r}"
            )
        if taken != usual[column]:
            columns[column] = taken
    return {form: path, **({"columns": columns} if columns else {})}
