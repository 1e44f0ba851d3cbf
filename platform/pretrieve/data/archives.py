"""Unpack archives safely: completely or not at all, and never outside the folder."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from pretrieve.artifacts.locks import remove_leftovers, temporary_folder
from pretrieve.errors import ImageSetError

CHUNK_BYTES = 1 << 20
MAX_NAME_BYTES = 255  # of one folder or file; every common file system takes this
MAX_PATH_BYTES = 1024
MAX_FOLDERS = 64
SHOWN_CHARACTERS = 120
HEADER_BYTES = 2048  # usual size of a tar member's headers and padding
COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
ENCRYPTED = 0x1

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class UnpackLimits:
    """How far an archive may unfold; everything is counted while it is written, whatever the headers say.

    Attributes:
      max_bytes: of all files together.
      max_members: files and folders.
      max_ratio: bytes that one member may have for each byte it takes up in the archive; in a tar, for each byte of the
        whole archive.
      ratio_from_bytes: a member up to this size may have any ratio, because an image of one colour packs well.
    """

    max_bytes: int = 64 * 2**30
    max_members: int = 2_000_000
    max_ratio: float = 200.0
    ratio_from_bytes: int = 16 * 2**20


ORDINARY_LIMITS = UnpackLimits()


class _Member(NamedTuple):
    """A file or folder of an archive; its content must be read before the next member is requested."""

    name: str
    is_folder: bool
    packed_bytes: int
    chunks: Iterator[bytes]


def unpack_archive(
    archive: Path,
    folder: Path,
    *,
    limits: UnpackLimits = ORDINARY_LIMITS,
    contains: str | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz into a folder, completely or not at all.

    Members are written to a hidden folder first and moved once the last one is there. So a kill leaves nothing under a
    final name; the next call removes or finishes what it leaves. `folder` may exist: nothing in it is overwritten.
    Permissions, owners and times in the archive are ignored. Its kind is read from its first bytes, not from its
    suffix. It must bring the path `contains` below `folder`. `progress` is called with the bytes of the archive read so
    far, and its size.

    Raises:
      ImageSetError: the archive is missing, broken, cut off, encrypted or not the right one; a member leads out of the
        folder, is a link or a device, or comes twice; a limit is passed; or something would be overwritten.
      OSError: the disk is full or not writable.
    """
    if not archive.is_file():
        raise ImageSetError(f"an archive must be a file, but {archive} is not one; check the path")
    parent = folder if folder.is_dir() else folder.parent  # an existing folder may be a disk of its own
    remove_leftovers(parent, folder.name)
    if finish_move(folder, label=archive.name):
        return
    with temporary_folder(parent, folder.name) as staging:
        _unpack(archive, staging, limits, progress)
        if contains is not None and not (staging / contains).exists():
            raise ImageSetError(
                f"{archive} must contain {contains!r}, but does not; it is another archive, or another version of it"
            )
        if not folder.exists():
            staging.rename(folder)
            return
        # An existing folder needs several renames. The name of the folder that they start from says, after a kill, that
        # everything was unpacked, and `finish_move` continues.
        _check_overwrites_nothing(staging, folder, archive.name)
        staging.rename(folder / f".{archive.name}.moving")
        finish_move(folder, label=archive.name)


def _unpack(archive: Path, staging: Path, limits: UnpackLimits, progress: Progress) -> None:
    def check(holds: bool, fault: str) -> None:
        _check(holds, archive, fault, remedy="it may be made to fill the disk")

    size, num_bytes = archive.stat().st_size, 0
    seen: dict[str, tuple[str, bool]] = {}
    with archive.open("rb") as file:
        members = _members(file, archive, max_bytes=limits.max_bytes + HEADER_BYTES * limits.max_members)
        for number, member in enumerate(members):
            check(number < limits.max_members, f"hold at most {limits.max_members:,} members, but holds more")
            path = staging / _safe_path(member, seen, archive)
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            most, member_bytes = max(limits.ratio_from_bytes, limits.max_ratio * member.packed_bytes), 0
            with path.open("xb") as unpacked:
                for chunk in member.chunks:
                    num_bytes, member_bytes = num_bytes + len(chunk), member_bytes + len(chunk)
                    holds_more = f"unpack to at most {limits.max_bytes:,} bytes, but holds more"
                    check(num_bytes <= limits.max_bytes, holds_more)
                    check(
                        member_bytes <= most,
                        f"unfold no member more than {limits.max_ratio:g} times, but {member.name!r} has over "
                        f"{member_bytes:,} bytes in {member.packed_bytes:,}",
                    )
                    unpacked.write(chunk)
                    progress(min(file.tell(), size), size)
    progress(size, size)


def _safe_path(member: _Member, seen: dict[str, tuple[str, bool]], archive: Path) -> PurePosixPath:
    """Turn the name that an archive writes into a path below a folder; "." for the folder itself.

    Names that differ only in case, or in how an accent is composed, are one file on many disks. They are refused on
    every disk, so that an archive gives the same files everywhere or none. A folder may come again, a file may not.
    `seen` maps such a normalised name of an earlier member to its path and whether it is a folder. A name that leads
    out of the folder, that no disk could hold or that is taken raises an ImageSetError.
    """

    def check(holds: bool, rule: str, value: str) -> None:
        if not holds:
            shown = name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"
            raise ImageSetError(
                f"a member of {archive} must {rule}, but {shown!r} {value}; nothing was unpacked, get the archive from "
                "its publisher"
            )

    name, below = member.name, "lie below the folder it is unpacked to"
    parts = [part for part in name.split("/") if part not in ("", ".")]
    check("\0" not in name and "\\" not in name, "be named without NUL and backslash", "is not")
    check(not name.startswith("/") and not re.match(r"[A-Za-z]:", name), below, "has an absolute path")
    check(".." not in parts, below, "leads out of it")
    try:
        lengths = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        check(False, "have a name that this system can write", "has not")
    check(
        len(parts) <= MAX_FOLDERS and max(lengths, default=0) <= MAX_NAME_BYTES and sum(lengths) <= MAX_PATH_BYTES,
        f"have a path of at most {MAX_FOLDERS} folders and {MAX_PATH_BYTES} bytes, {MAX_NAME_BYTES} a name",
        "is longer",
    )
    check(bool(parts) or member.is_folder, "name a file", "names none")
    for depth in range(1, len(parts) + 1):
        path, is_folder = "/".join(parts[:depth]), member.is_folder or depth < len(parts)
        key = unicodedata.normalize("NFC", path).lower()
        taken, was_folder = seen.get(key, (path, True))
        check(taken == path, "differ from all others by more than case", f"differs from {taken!r} by no more")
        is_new = key not in seen
        check(is_new or (is_folder and was_folder), "be there once", "is there twice, or as a file and as a folder")
        seen[key] = (path, is_folder)
    return PurePosixPath(*parts)


def _members(file: IO[bytes], archive: Path, *, max_bytes: int) -> Iterator[_Member]:
    """Read the members in order, trusting nothing in the archive; `max_bytes` bounds a tar with its headers."""
    start = file.read(len(max(COMPRESSIONS, key=len)))
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if start.startswith(ZIP_STARTS):
        return _zip_members(file, archive, size)
    unpacked = next((unpack(file) for magic, unpack in COMPRESSIONS.items() if start.startswith(magic)), file)
    return _tar_members(_ForwardStream(unpacked, archive, max_bytes), archive, size)


@contextmanager
def _reading(archive: Path, place: str) -> Iterator[None]:
    """Turn whatever zipfile, tarfile and the decompressors raise on bad bytes into an `ImageSetError`."""
    try:
        yield
    except ImageSetError:
        raise
    except Exception as error:  # zlib.error, LZMAError, BadZipFile, EOFError, struct.error, RecursionError, …
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # a fault of the disk: bad data give an OSError without a number, or EINVAL for a bad seek
        reason = str(error) or type(error).__name__
        _check(False, archive, f"be a whole zip or tar archive, but {place} cannot be read: {reason}")


def _check(holds: bool, archive: Path, fault: str, *, remedy: str = "get it from its publisher again") -> None:
    if not holds:
        raise ImageSetError(f"{archive} must {fault}; nothing was unpacked, {remedy}")


def _zip_members(file: IO[bytes], archive: Path, size: int) -> Iterator[_Member]:
    with _reading(archive, "its table of contents"):
        opened = zipfile.ZipFile(file)
    for info in opened.infolist():
        name = info.filename
        written = info.orig_filename  # zipfile cuts the other one at a NUL
        _check("\0" not in written, archive, f"name its members without NUL, but one is {written!r}")
        _check(not info.flag_bits & ENCRYPTED, archive, f"be free of passwords, but {name!r} is encrypted")
        is_plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        _check(is_plain, archive, f"hold only files and folders, but {name!r} is a link or a device")
        # Python's readers of the other methods unpack a whole block at once, however large it is.
        is_bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        _check(is_bounded, archive, f"be stored or deflated, but {name!r} is packed by method {info.compress_type}")
        is_folder = name.endswith("/")  # is_dir() fails on an empty name
        with _reading(archive, f"member {name!r}"):
            stream = opened.open(info)
        with stream:
            chunks = _chunks(stream, info.file_size, archive, name)
            yield _Member(name, is_folder, min(info.compress_size, size), chunks)


def _chunks(stream: IO[bytes] | _ForwardStream, size: int, archive: Path, name: str) -> Iterator[bytes]:
    left = size
    while True:
        with _reading(archive, f"member {name!r}"):
            # A read past a zip member's end gives nothing, but compares its checksum.
            chunk = stream.read(min(CHUNK_BYTES, left) or int(isinstance(stream, zipfile.ZipExtFile)))
            if left and not chunk:
                raise EOFError(f"{left:,} of its {size:,} bytes are missing")
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


class _ForwardStream:
    """What tarfile reads from: it only goes forward, in small steps, and stops at a limit.

    tarfile trusts the sizes in headers: it would read a long name of gigabytes into memory, or jump back without end.
    """

    def __init__(self, file: IO[bytes], archive: Path, max_bytes: int) -> None:
        self._file, self._archive, self._max_bytes = file, archive, max_bytes
        self._position, self.last = 0, b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position and self.read(min(CHUNK_BYTES, position - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK_BYTES:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self.last = self._file.read(size)
        self._position += len(self.last)
        holds = self._position <= self._max_bytes
        _check(holds, self._archive, f"unpack to at most {self._max_bytes:,} bytes with its headers, but holds more")
        return self.last


def _tar_members(stream: _ForwardStream, archive: Path, size: int) -> Iterator[_Member]:
    place = "its first header"
    with _reading(archive, place):
        opened: Any = tarfile.TarFile(fileobj=cast(Any, stream))
    while True:
        with _reading(archive, place):
            info = opened.next()
        if info is None:
            break
        opened.members.clear()  # otherwise it keeps every header in memory
        name, is_plain = info.name, (info.isreg() or info.isdir()) and not info.issparse()
        _check(is_plain, archive, f"hold only files and folders, but {name!r} is a link, a device or a sparse file")
        _check(info.size >= 0, archive, f"hold members of 0 bytes or more, but {name!r} has {info.size}")
        place = f"what follows member {name!r}"
        # A compressed tar does not say what a member takes up.
        yield _Member(name, info.isdir(), size, _chunks(stream, info.size, archive, name))
    with _reading(archive, place):
        # tarfile takes a cut or damaged header for the end of the archive.
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise EOFError("a header is damaged" if len(stream.last) == tarfile.BLOCKSIZE else "the archive ends early")
        while stream.read(CHUNK_BYTES):  # to the end, because a compressed stream has its checksum there
            pass


def finish_move(folder: Path, *, label: str) -> bool:
    """Finish a move that a kill interrupted; False where there is none. A name taken since raises an ImageSetError."""
    moving = folder / f".{label}.moving"
    if not moving.is_dir():
        return False
    _check_overwrites_nothing(moving, folder, label)
    for entry, path in _moves(moving, folder):
        entry.rename(path)
    shutil.rmtree(moving)
    return True


def _check_overwrites_nothing(staging: Path, folder: Path, label: str) -> None:
    for _, path in _moves(staging, folder):
        if os.path.lexists(path):
            raise ImageSetError(
                f"unpacking {label} must not overwrite anything, but {path} exists; "
                "remove it if it is left from an earlier attempt, or choose another folder"
            )


def _moves(staging: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what must be renamed to what; a folder that is on both sides is merged."""
    for entry in sorted(staging.iterdir()):
        path = folder / entry.name
        if entry.is_dir() and path.is_dir() and not path.is_symlink():
            yield from _moves(entry, path)
        else:
            yield entry, path
