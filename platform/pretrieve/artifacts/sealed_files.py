"""Files that carry a digest of their own content, so that a changed byte is found before it is used.

A sealed file is its content followed by a seal: a digest of each block of the content, then the length of the content
and a digest of both. Content and seal appear by one rename, so neither exists without the other.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import mmap
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.atomic_files import replacing
from pretrieve.errors import DamagedArtifactError

BLOCK_BYTES = 1 << 20
DIGEST_BYTES = 16
MAGIC = b"PTRSEAL1"
TEMPORARY_SUFFIX = ".tmp"

logger = logging.getLogger(__name__)
"""Warns of each damaged file that is set aside; a study passes the warnings to its observer."""

_TAIL = struct.Struct(f"<Q{DIGEST_BYTES}s{len(MAGIC)}s")

_checked_blocks: dict[tuple[int, int, int, int], bytearray] = {}
"""Which blocks of each file this process has compared with their digests; it compares each block once."""


class SealedFile:
    """The content of a sealed file, mapped into memory; each block is compared with its digest at its first use.

    Raises:
      FileNotFoundError: there is no file.
      DamagedArtifactError: the seal is absent or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size < _TAIL.size:
                raise DamagedArtifactError(path, f"has {status.st_size} bytes, too few for a seal")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(self._map)
        self._num_bytes, digest, magic = _TAIL.unpack(view[-_TAIL.size :])
        num_blocks = -(-self._num_bytes // BLOCK_BYTES)
        if magic != MAGIC or len(view) != self._num_bytes + num_blocks * DIGEST_BYTES + _TAIL.size:
            raise DamagedArtifactError(path, "was cut or changed: its seal is not where its length says")
        self._digests = bytes(view[self._num_bytes : -_TAIL.size])
        if digest != _digest_of_seal(self._num_bytes, self._digests):
            raise DamagedArtifactError(path, "was changed: its seal is damaged")
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        self._is_checked = _checked_blocks.setdefault(identity, bytearray(num_blocks))

    def __len__(self) -> int:
        return int(self._num_bytes)

    @property
    def digest(self) -> str:
        """A digest of the whole content, 32 hexadecimal digits, as the seal has it."""
        return _digest_of_seal(self._num_bytes, self._digests).hex()

    def view(self, start: int = 0, stop: int | None = None) -> memoryview:
        """Return a part of the content, or all of it, after `check`."""
        stop = self._num_bytes if stop is None else stop
        self.check(start, stop)
        return memoryview(self._map)[start:stop]

    def check(self, start: int, stop: int) -> None:
        """Compare the blocks with the bytes [start, stop) with their digests; DamagedArtifactError if one differs."""
        for block in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            if self._is_checked[block]:
                continue
            begin = block * BLOCK_BYTES
            content = memoryview(self._map)[begin : min(begin + BLOCK_BYTES, self._num_bytes)]
            if _digest(content) != self._digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]:
                raise DamagedArtifactError(self.path, f"was changed between bytes {begin} and {begin + len(content)}")
            self._is_checked[block] = 1

    def unchecked(self) -> mmap.mmap:
        """Return the whole map, seal included, for a reader that calls `check` itself."""
        return self._map


def seal(path: Path) -> None:
    """Append the seal to a file that was just written."""
    digests, num_bytes = [], 0
    with path.open("r+b") as file:
        while block := file.read(BLOCK_BYTES):
            digests.append(_digest(block))
            num_bytes += len(block)
        joined = b"".join(digests)
        file.write(joined + _TAIL.pack(num_bytes, _digest_of_seal(num_bytes, joined), MAGIC))


@contextmanager
def sealing(path: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds, seal the file and rename it into place.

    With `is_durable` it is on the disk before that, see `replacing`.
    """
    with replacing(path, is_durable=is_durable) as temporary:
        yield temporary
        seal(temporary)


def read_sealed(path: Path) -> memoryview:
    """Return the content of a sealed file, compared with its digests; raises like `SealedFile` and its `check`."""
    return SealedFile(path).view()


def read_sealed_json(path: Path) -> Any:
    """Read what `write_sealed_json` wrote; raises like `read_sealed`."""
    return json.loads(bytes(read_sealed(path)))


def write_sealed_json(path: Path, value: Any) -> None:
    """Write `value` as JSON into a sealed file; raises like `atomic_files.write_json`."""
    with sealing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_sealed_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_sealed_arrays` wrote, by name; raises like `read_sealed`."""
    with np.load(io.BytesIO(read_sealed(path)), allow_pickle=False) as arrays:
        return dict(arrays)


def write_sealed_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays by name into a sealed .npz file."""
    with sealing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **cast("dict[str, Any]", arrays))


def read_sealed_array(path: Path) -> NDArray[Any]:
    """Map the array of a sealed .npy file, read-only, compared with its digests; raises like `read_sealed`."""
    read_sealed(path)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # the seal after the array is not read


def is_kept(path: Path) -> bool:
    """Return whether a sealed file exists and is whole; a damaged one is set aside, so that it is made again.

    Each process compares the whole file with its digests once.
    """
    try:
        read_sealed(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except DamagedArtifactError as error:
        set_aside(error)
        return False
    return True


def set_aside(error: DamagedArtifactError) -> None:
    """Rename a damaged file and log its new path; the next pruning removes it."""
    aside = error.path.with_name(f".{error.path.name}.damaged-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with suppress(FileNotFoundError):  # another process was faster
        error.path.rename(aside)
        logger.warning("made again, because it is damaged: %s (now %s)", error.what, aside)


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def _digest_of_seal(num_bytes: int, digests: bytes) -> bytes:
    return _digest(num_bytes.to_bytes(8, "little") + digests)
