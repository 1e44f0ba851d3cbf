"""The files of a source that selected classes consist of, where its pixels are still elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pretrieve.errors import ImageSetError

_NUMBERED = re.compile(r"(\S+) \d+")
"""A line of ImageNet's own lists: a path without spaces, and its number."""


class FetchList(NamedTuple):
    """What to fetch.

    Attributes:
      paths: of files, in the order of the index; without an index, of the classes' folders, which end in "/".
      num_bytes: their size; None where the index does not say it.
    """

    paths: tuple[str, ...]
    num_bytes: int | None


def list_files(names: Sequence[str], index: Path | None) -> FetchList:
    r"""List the files of some classes of a source.

    Args:
      names: of the classes. A class's folder has its name, or the first word of it where that has a digit, as
        `n01440764` of ImageNet.
      index: a file with a path of the source a line, and perhaps a tab and its size in bytes, as
        `find . -type f -printf '%P\t%s\n'` prints it; or a list of ImageNet's own. None: there is none.

    Raises:
      ImageSetError: the index is no such file, or lacks files of a class.
    """
    folders = [_identifier(name) or name for name in names]
    if index is None:
        return FetchList(tuple(f"{folder}/" for folder in folders), None)
    found: dict[str, int | None] = {}
    seen: set[str] = set()
    wanted = dict(zip(names, folders, strict=True)) | {each: each for each in folders}
    for number, line in enumerate(_lines(index), start=1):
        path, size = _split(line, f"{index}, line {number}")
        if of := {wanted[part] for part in PurePosixPath(path).parts[:-1] if part in wanted}:
            found[path] = size
            seen |= of
    if lacking := [folder for folder in folders if folder not in seen]:
        raise ImageSetError(
            f"an index must hold files of each selected class, in a folder of its name, but {index} has none of "
            f"{len(lacking)} of {len(folders)}, the first {lacking[0]!r}; give the index of this source"
        )
    sizes = [size for size in found.values() if size is not None]
    return FetchList(tuple(found), sum(sizes) if len(sizes) == len(found) else None)


def _identifier(name: str) -> str:
    first = name.partition(" ")[0]
    return first if any(map(str.isdigit, first)) else ""


def _lines(index: Path) -> list[str]:
    try:
        return [line for line in index.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ImageSetError(
            f"an index must be a text file of the source's paths in UTF-8, but {index} cannot be read: {error}; write "
            "one with: find . -type f -printf '%P\\t%s\\n'"
        ) from error


def _split(line: str, place: str) -> tuple[str, int | None]:
    path, tab, size = line.partition("\t")
    if tab and not size.strip().isdecimal():
        raise ImageSetError(
            f"what follows the tab must be the size of the file in bytes, but at {place} is {size!r}; write the index "
            "with: find . -type f -printf '%P\\t%s\\n'"
        )
    if tab:
        return path, int(size)
    numbered = _NUMBERED.fullmatch(line)
    return (numbered[1] if numbered else line), None
