"""Names of archive members: where each may be written, and none of them twice."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath

from pretrieve.errors import ImageSetError

MAX_NAME_BYTES = 255  # of one folder or file: what every common file system takes
MAX_PATH_BYTES = 1024
MAX_FOLDERS = 64
_SHOWN_CHARACTERS = 120


class MemberPaths:
    """Turns the names that an archive writes into paths below a folder, and remembers them.

    Names that differ in case alone, or in how an accent is composed, are one file on many disks; they are refused on
    every disk, so that an archive gives the same files everywhere or none.

    Args:
      archive: named in messages.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._seen: dict[str, tuple[str, bool]] = {}

    def add(self, name: str, *, is_folder: bool) -> PurePosixPath:
        """Return where a member goes, relative to the folder.

        Args:
          name: as the archive writes it.
          is_folder: a folder may come again, a file may not.

        Returns:
          A relative path without `..`; "." for the folder itself.

        Raises:
          ImageSetError: the name leads out of the folder, no disk could hold it, or it is taken.
        """
        self._check_characters(name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        self._check_parts(name, parts)
        if not parts and not is_folder:
            self._refuse(name, "name a file", "names none")
        for depth in range(1, len(parts) + 1):
            self._take(name, "/".join(parts[:depth]), is_folder=is_folder or depth < len(parts))
        return PurePosixPath(*parts)

    def _check_characters(self, name: str) -> None:
        if "\0" in name or "\\" in name:
            self._refuse(name, "be named without NUL and backslash", "is not")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            self._refuse(name, "lie below the folder it is unpacked to", "has an absolute path")

    def _check_parts(self, name: str, parts: list[str]) -> None:
        if ".." in parts:
            self._refuse(name, "lie below the folder it is unpacked to", "leads out of it")
        try:
            lengths = [len(os.fsencode(part)) for part in parts]
        except UnicodeEncodeError:
            self._refuse(name, "have a name that this system can write", "has not")
        if len(parts) > MAX_FOLDERS or max(lengths, default=0) > MAX_NAME_BYTES or sum(lengths) > MAX_PATH_BYTES:
            self._refuse(
                name,
                f"have a path of at most {MAX_FOLDERS} folders and {MAX_PATH_BYTES} bytes, {MAX_NAME_BYTES} a name",
                "is longer",
            )

    def _take(self, name: str, path: str, *, is_folder: bool) -> None:
        key = unicodedata.normalize("NFC", path).lower()
        taken, was_folder = self._seen.get(key, (None, False))
        if taken is None:
            self._seen[key] = (path, is_folder)
        elif taken != path:
            self._refuse(name, "differ from all others by more than case", f"differs from {taken!r} by no more")
        elif was_folder != is_folder or not is_folder:
            self._refuse(name, "be there once", "is there twice, or as a file and as a folder")

    def _refuse(self, name: str, rule: str, value: str) -> None:
        shown = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…"
        raise ImageSetError(
            f"a member of {self._archive} must {rule}, but {shown!r} {value}; nothing was unpacked, "
            "get the archive from its publisher"
        )
