"""Archives unpacked so that nothing in them can do harm, and nothing half-done stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pretrieve.data.archive_members import Member, read_members
from pretrieve.data.archive_names import MemberPaths
from pretrieve.data.staging import finish_move, move_into, staging_folder
from pretrieve.errors import ImageSetError

_HEADER_BYTES = 2048  # what a member's headers and padding take in a tar, ordinarily

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class UnpackLimits:
    """How far an archive may unfold; all is counted while it is written, whatever its headers say.

    Attributes:
      max_bytes: of all files together.
      max_members: files and folders.
      max_ratio: how many bytes one member may have for each byte that it takes up in the archive; in a tar, for each
        byte of the archive.
      ratio_from_bytes: a member up to this size may have any ratio: one colour packs well.
    """

    max_bytes: int = 64 * 2**30
    max_members: int = 2_000_000
    max_ratio: float = 200.0
    ratio_from_bytes: int = 16 * 2**20


ORDINARY_LIMITS = UnpackLimits()


def unpack_archive(
    archive: Path,
    folder: Path,
    *,
    limits: UnpackLimits = ORDINARY_LIMITS,
    contains: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz into a folder, completely or not at all.

    The members are written to a hidden folder first and moved when the last is there, so a kill leaves nothing under a
    final name; what it leaves, the next call removes or finishes. `folder` may exist: nothing in it is overwritten.
    Permissions, owners and times of the archive are left aside.

    Args:
      archive: which of the kinds it is, its first bytes say, not its suffix.
      folder: made where it is missing.
      limits: how far the archive may unfold.
      contains: a path below `folder` without which it is the wrong archive.
      progress: called with the bytes of the archive that are read, and all of them.

    Raises:
      ImageSetError: the archive is missing, broken, cut off, encrypted or not the right one; a member leads out of the
        folder, is a link or a device, or comes twice; a limit is passed; or something would be overwritten.
      OSError: the disk is full or not writable.
    """
    if not archive.is_file():
        raise ImageSetError(f"an archive must be a file, but {archive} is none; check the path")
    if finish_move(folder, label=archive.name):
        return
    with staging_folder(folder) as staging:
        _unpack(archive, staging, limits, progress)
        if contains is not None and not (staging / contains).exists():
            raise ImageSetError(
                f"{archive} must contain {contains!r}, but does not; it is another archive, or another version of it"
            )
        move_into(staging, folder, label=archive.name)


def _unpack(archive: Path, staging: Path, limits: UnpackLimits, progress: Progress | None) -> None:
    paths, budget, size = MemberPaths(archive), _Budget(archive, limits), archive.stat().st_size
    with archive.open("rb") as file:
        for member in read_members(file, archive, max_bytes=limits.max_bytes + _HEADER_BYTES * limits.max_members):
            budget.open(member)
            path = staging / paths.add(member.name, is_folder=member.is_folder)
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as unpacked:
                for chunk in member.chunks():
                    budget.spend(len(chunk))
                    unpacked.write(chunk)
                    if progress is not None:
                        progress(min(file.tell(), size), size)
    if progress is not None:
        progress(size, size)


class _Budget:
    """Counts what an archive unfolds to, and ends it at a limit."""

    def __init__(self, archive: Path, limits: UnpackLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._num_members = 0
        self._num_bytes = 0
        self._member: Member | None = None
        self._member_bytes = 0

    def open(self, member: Member) -> None:
        self._num_members += 1
        self._member, self._member_bytes = member, 0
        if self._num_members > self._limits.max_members:
            self._refuse(f"hold at most {self._limits.max_members:,} members, but holds more")

    def spend(self, num_bytes: int) -> None:
        assert self._member is not None
        self._num_bytes += num_bytes
        self._member_bytes += num_bytes
        if self._num_bytes > self._limits.max_bytes:
            self._refuse(f"unpack to at most {self._limits.max_bytes:,} bytes, but holds more")
        most = max(self._limits.ratio_from_bytes, self._limits.max_ratio * self._member.packed_bytes)
        if self._member_bytes > most:
            self._refuse(
                f"unfold no member more than {self._limits.max_ratio:g} times, but {self._member.name!r} has over "
                f"{self._member_bytes:,} bytes in {self._member.packed_bytes:,}"
            )

    def _refuse(self, fault: str) -> None:
        raise ImageSetError(f"{self._archive} must {fault}; nothing was unpacked, and it may be made to fill the disk")
