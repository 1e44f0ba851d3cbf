"""Check the names of folders and files in a tree of classes, so that it can be copied to any system."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from pretrieve.errors import ImageSetError

SPLITS = ("train", "val", "test")

_OTHER_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What people call splits, in lower case."""


def names_alike(names: Sequence[str]) -> list[list[str]]:
    """Group the names that are one on a disk that ignores case, or that composes accents.

    >>> names_alike(["Cat", "cat", "dog"])
    [['Cat', 'cat']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def visible_files(folder: Path) -> list[Path]:
    """List the files and links below a folder that have no hidden part; none where there is no such folder.

    Hidden folders are left out too: notebooks and photo viewers keep copies and thumbnails in them.

    Raises:
      OSError: a folder cannot be read; its images would be missing without a message.
      ImageSetError: a name is not Unicode.
    """

    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=fail) if folder.is_dir() else ():
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    for name in (path.as_posix() for path in found):
        if not name.isascii() and name.encode("utf-8", "surrogateescape") != name.encode("utf-8", "replace"):
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise ImageSetError(f"names of files must be UTF-8, but {shown} is not; rename it")
    return found


def check_split_names(root: Path, name: str) -> None:
    """Raise an ImageSetError where splits have other names, which would be taken for classes, or lie a folder deeper."""
    folders = sorted(child.name for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    for split in SPLITS:
        others = [folder for folder in folders if folder.lower() in _OTHER_WORDS[split]]
        if others and split not in folders and _are_splits(folders):
            raise ImageSetError(
                f"splits of {name!r} must be called {', '.join(SPLITS)}, but {root} holds {others[0]!r}; rename it "
                f"to {split!r}"
            )
    if len(folders) == 1 and (root / folders[0] / "train").is_dir():
        raise ImageSetError(
            f"the folder of {name!r} must be the one that holds 'train', but {root} holds it inside {folders[0]!r}; "
            f"give {root / folders[0]}"
        )


def _are_splits(folders: Iterable[str]) -> bool:
    """Return whether a tree has splits: a train folder, or only folders with names of splits."""
    words = {word for words in _OTHER_WORDS.values() for word in words}
    return "train" in folders or all(folder.lower() in words for folder in folders)
