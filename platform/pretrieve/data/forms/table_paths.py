"""Find the files of a table of images, and the split of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pretrieve.data.forms.split_words import read_split, split_of_name
from pretrieve.errors import ImageSetError

TableFiles = str | Path | Sequence[str | Path]
TablePaths = TableFiles | Mapping[str, TableFiles]

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather")


def find_tables(tables: TablePaths, name: str) -> list[tuple[Path, str | None]]:
    """List the files of a table (see `load_parquet`) in order, as absolute paths, each with train, val or test.

    A split is None where no name tells it.

    Raises:
      ImageSetError: a file is missing or given twice, there is none, or names tell the splits of some files only.
    """
    found: list[tuple[Path, str | None]]
    if isinstance(tables, Mapping):
        found = [(path, read_split(split)) for split, given in tables.items() for path, _ in _list_files(given, name)]
    else:
        found = _list_files(tables, name)
    paths = [path for path, _ in found]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ImageSetError(f"each table of {name!r} must be given once, but {twice} is given twice; remove one")
    without_split = [path for path, split in found if split is None]
    if without_split and len(without_split) < len(found):
        raise ImageSetError(
            f"names must tell the split of all tables of {name!r} or of none, but {len(without_split)} tell none, the "
            f"first {without_split[0]}; give a mapping from splits to files"
        )
    return found


def _list_files(given: TableFiles, name: str) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = []
    for path in [given] if isinstance(given, str | Path) else given:
        absolute = Path(path).expanduser().absolute()
        if absolute.is_dir():
            files = sorted(file for file in absolute.rglob("*") if _is_table(file, absolute))
            found += [(file, _split_of(file, absolute)) for file in files]
        elif absolute.is_file():
            found.append((absolute, split_of_name(absolute.name)))
        else:
            raise ImageSetError(f"a table of {name!r} must exist, but {absolute} does not; check the path")
    if not found:
        raise ImageSetError(
            f"{given} of {name!r} must hold tables, but holds none; known suffixes: {', '.join(TABLE_SUFFIXES)}"
        )
    return found


def _is_table(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in TABLE_SUFFIXES and not hidden and file.is_file()


def _split_of(file: Path, folder: Path) -> str | None:
    """Find the split in the file's own name, then in its folders' names, the nearest first."""
    parts = reversed(file.relative_to(folder).parts)
    return next((split for split in map(split_of_name, parts) if split is not None), None)
