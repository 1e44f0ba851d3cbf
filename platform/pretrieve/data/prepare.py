"""Bring a published data set onto a disk: download, verify, unpack and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from pretrieve.artifacts.locks import LockedError, locked
from pretrieve.data.archives import finish_move, unpack_archive
from pretrieve.data.download import download, file_md5
from pretrieve.data.image_set import ImageSet
from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet
from pretrieve.errors import ImageSetError, UserError

Step = Literal["download", "verify", "unpack"]
Progress = Callable[[Step, str, int, int | None], None]


def prepare(published: PublishedSet, root: Path, *, progress: Progress = lambda *counts: None) -> ImageSet:
    """Bring a published set onto a disk and read it; existing files are used.

    An archive that was unpacked before is not unpacked again. One whose file is there is verified and unpacked; one
    that its publisher serves is downloaded first. A file that `contains` itself is used as it is. After a kill at any
    time, the next call continues.

    `root` is the folder for its archives and what they unpack to; it is made where it is missing. `progress` is called
    with the step, the archive's file, the bytes done, and the bytes in all or None.

    Raises:
      UserError: files must be fetched by hand (the message says which, from where and to where), a download fails, or
        another process prepares the same folder.
      ImageSetError: a file has the wrong MD5 or is no whole archive, or the set has other counts than published.
      OSError: the disk is full or not writable.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(root / ".prepare.lock", is_optional=True))
        except LockedError:
            raise UserError(f"one process at a time may prepare {root}, but another one does; wait for it") from None
        archives = published.facts.archives
        waiting = [archive for archive in archives if not _is_done(archive, archives, root)]
        _check_files(published.facts, waiting, root)
        for archive in waiting:
            _fetch(published.facts, archive, root, progress)
            if not _is_plain(archive):
                folder, wanted = PurePosixPath(archive.folder), PurePosixPath(archive.contains)
                contains = str(wanted.relative_to(folder)) if wanted.is_relative_to(folder) else None
                report = partial(progress, "unpack", archive.file)
                unpack_archive(root / archive.file, root / archive.folder, contains=contains, progress=report)
    return published.load(root)


def _is_done(archive: Archive, archives: Sequence[Archive], root: Path) -> bool:
    if _is_plain(archive):
        return False  # only its checksum shows that it is the right one
    # An archive that brought another one is done once that one is unpacked, even if a user then removed both files.
    inner = [other for other in archives if other.file == archive.contains and not _is_plain(other)]
    return _is_unpacked(archive, root) or any(_is_unpacked(other, root) for other in inner)


def _is_plain(archive: Archive) -> bool:
    """Return whether a file is used as it is, and is not an archive."""
    return archive.file == archive.contains


def _is_unpacked(archive: Archive, root: Path) -> bool:
    # After a kill between two moves, what it `contains` may be there while the rest is not.
    finish_move(root / archive.folder, label=PurePosixPath(archive.file).name)
    return (root / archive.contains).exists()


def _check_files(facts: PublishedFacts, waiting: Sequence[Archive], root: Path) -> None:
    """Name the files that a user must fetch, before gigabytes of others are downloaded."""
    missing = [
        archive
        for number, archive in enumerate(waiting)
        if archive.url is None and not (root / archive.file).is_file() and not comes_with(archive, waiting[:number])
    ]
    if not missing:
        return
    count = f"{len(missing)} file{'s' if len(missing) != 1 else ''}"
    files = [f"  - {root / file.file}" + ("" if file.md5 is None else f"  (MD5 {file.md5})") for file in missing]
    head = f"{facts.title} needs {count} that cannot be downloaded by this command; fetch by hand and save as:"
    tail = [f"from {facts.page}", f"licence: {facts.licence}", "then run the same again"]
    raise UserError("\n".join([head, *files, *tail]))


def comes_with(archive: Archive, earlier: Sequence[Archive]) -> bool:
    """Return whether an archive lies in one of those that are unpacked before it."""
    file = PurePosixPath(archive.file)
    return any(PurePosixPath(other.contains) in (file, *file.parents) for other in earlier)


def _fetch(facts: PublishedFacts, archive: Archive, root: Path, progress: Progress) -> None:
    """Download an archive, or compare the MD5 of a file that is there."""
    path = root / archive.file
    if path.is_file():
        if archive.md5 is None:
            return
        found = file_md5(path, partial(progress, "verify", archive.file))
        if found != archive.md5.lower():
            again = "run the same again to download it" if archive.url is not None else "fetch it again"
            raise ImageSetError(
                f"{path} must have the MD5 {archive.md5.lower()} of the published file, but has {found}: it is not "
                f"whole, or another version; remove it and {again}"
            )
    elif archive.url is None:
        raise ImageSetError(
            f"{path} must come from another archive of the set, but is not there; remove what that one unpacked to, "
            "and run the same again"
        )
    else:
        try:
            download(archive.url, path, md5=archive.md5, progress=partial(progress, "download", archive.file))
        except UserError as error:  # publishers move their files: say how to fetch this one by hand
            by_hand = f"to fetch it by hand, save it as {path}, from {facts.page} (licence: {facts.licence})"
            raise type(error)(f"{error}\n{by_hand}") from error
