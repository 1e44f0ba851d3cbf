"""What lies in a zip or tar archive, read once from front to back, with nothing in it believed."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from pretrieve.errors import ImageSetError

CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """One file or folder of an archive.

    Attributes:
      name: as the archive writes it, unchecked.
      is_folder: whether it is a folder.
      packed_bytes: the most that it can take up in the archive.
      chunks: reads its content, once, before the next member is asked for.
    """

    name: str
    is_folder: bool
    packed_bytes: int
    chunks: Callable[[], Iterator[bytes]]


def read_members(file: IO[bytes], archive: Path, *, max_bytes: int) -> Iterator[Member]:
    """Read the members of an archive in order; which kind it is, its first bytes say.

    Args:
      file: the archive, opened; its position tells how far reading is.
      archive: named in messages.
      max_bytes: of a tar's headers, padding and content together, before reading ends.

    Raises:
      ImageSetError: it is no archive, not whole, encrypted, or holds what is neither file nor folder.
    """
    start = file.read(len(max(_COMPRESSIONS, key=len)))
    size = file.seek(0, 2)
    file.seek(0)
    if start.startswith(_ZIP_STARTS):
        return _zip_members(file, archive, size)
    for magic, decompress in _COMPRESSIONS.items():
        if start.startswith(magic):
            return _tar_members(decompress(file), archive, size, max_bytes)
    return _tar_members(file, archive, size, max_bytes)


@contextmanager
def _reading(archive: Path, place: str) -> Iterator[None]:
    """Turn whatever zipfile, tarfile and the decompressors raise on bad bytes into one kind of error."""
    try:
        yield
    except ImageSetError:
        raise
    except Exception as error:  # zlib.error, LZMAError, BadZipFile, EOFError, struct.error, RecursionError, …
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault: bz2 and gzip give their OSErrors no number, a seek to nowhere gives EINVAL
        _refuse(archive, f"be a whole zip or tar archive, but {place} cannot be read: {error or type(error).__name__}")


def _refuse(archive: Path, fault: str) -> NoReturn:
    raise ImageSetError(f"{archive} must {fault}; nothing was unpacked, get it from its publisher again")


def _zip_members(file: IO[bytes], archive: Path, size: int) -> Iterator[Member]:
    with _reading(archive, "its table of contents"):
        opened = zipfile.ZipFile(file)
    for info in opened.infolist():
        _check_zip_member(info, archive)
        yield Member(
            name=info.filename,
            is_folder=info.filename.endswith("/"),  # is_dir() fails on an empty name
            packed_bytes=min(info.compress_size, size),
            chunks=lambda info=info: _zip_chunks(opened, info, archive),  # type: ignore[misc]
        )


def _check_zip_member(info: zipfile.ZipInfo, archive: Path) -> None:
    if "\0" in info.orig_filename:  # zipfile cuts the name there
        _refuse(archive, f"name its members without NUL, but one is {info.orig_filename!r}")
    if info.flag_bits & _ENCRYPTED:
        _refuse(archive, f"be free of passwords, but {info.filename!r} is encrypted")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        _refuse(archive, f"hold files and folders alone, but {info.filename!r} is a link or a device")
    # Python's readers of the other methods unpack a whole block at once, however large it turns out.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(archive, f"be stored or deflated, but {info.filename!r} is packed by method {info.compress_type}")


def _zip_chunks(opened: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    place, num_bytes = f"member {info.filename!r}", 0
    with _reading(archive, place):
        stream = opened.open(info)
    with stream:
        while True:
            with _reading(archive, place):
                chunk = stream.read(CHUNK_BYTES)
                if not chunk and num_bytes != info.file_size:
                    raise EOFError(f"it ends after {num_bytes:,} of {info.file_size:,} bytes")
            if not chunk:
                return
            num_bytes += len(chunk)
            yield chunk


class _ForwardStream:
    """What tarfile reads from: goes forward alone, in small steps, and stops at a limit.

    tarfile trusts the sizes in headers: it would read a long name of gigabytes into memory, and jump back for ever.
    """

    def __init__(self, file: IO[bytes], archive: Path, max_bytes: int) -> None:
        self._file = file
        self._archive = archive
        self._max_bytes = max_bytes
        self._position = 0
        self.last = b""

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
        if self._position > self._max_bytes:
            _refuse(self._archive, f"unpack to at most {self._max_bytes:,} bytes with its headers, but holds more")
        return self.last


def _tar_members(file: IO[bytes], archive: Path, size: int, max_bytes: int) -> Iterator[Member]:
    stream = _ForwardStream(file, archive, max_bytes)
    place = "its first header"
    with _reading(archive, place):
        opened: Any = tarfile.TarFile(fileobj=cast(Any, stream))
    while True:
        with _reading(archive, place):
            info = opened.next()
        if info is None:
            break
        opened.members.clear()  # or it keeps every header of the archive in memory
        _check_tar_member(info, archive)
        place = f"what follows member {info.name!r}"
        yield Member(
            name=info.name,
            is_folder=info.isdir(),
            packed_bytes=size,  # a compressed tar does not say what a member takes up
            chunks=lambda info=info: _tar_chunks(stream, info, archive),  # type: ignore[misc]
        )
    with _reading(archive, place):
        _check_end(stream)


def _check_tar_member(info: tarfile.TarInfo, archive: Path) -> None:
    if info.issparse() or not (info.isreg() or info.isdir()):
        _refuse(archive, f"hold files and folders alone, but {info.name!r} is a link, a device or a sparse file")
    if info.size < 0:
        _refuse(archive, f"hold members of 0 bytes or more, but {info.name!r} has {info.size}")


def _tar_chunks(stream: _ForwardStream, info: tarfile.TarInfo, archive: Path) -> Iterator[bytes]:
    left = info.size
    while left:
        with _reading(archive, f"member {info.name!r}"):
            chunk = stream.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise EOFError(f"{left:,} of its {info.size:,} bytes are missing")
        left -= len(chunk)
        yield chunk


def _check_end(stream: _ForwardStream) -> None:
    """Tell a whole tar from a cut or damaged one, at whose end tarfile stops as if it were the last member's."""
    if stream.last != bytes(_BLOCK_BYTES):
        raise EOFError("the archive ends early" if len(stream.last) < _BLOCK_BYTES else "a header is damaged")
    while stream.read(CHUNK_BYTES):  # to the end, where a compressed stream has its checksum
        pass
