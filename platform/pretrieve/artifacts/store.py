"""The store of a study's artifacts, found by kind and key; an artifact is whole or absent."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pretrieve.artifacts.seals import DamagedArtifactError, SealedFile, sealing

logger = logging.getLogger(__name__)
"""Warns of each damaged file that is set aside; a study passes the warnings to its observer."""

TEMPORARY_SUFFIX = ".tmp"


@dataclass(frozen=True)
class ArtifactStore:
    """A folder `root` with a folder for each kind of artifact; each sealed file is named by the key of its inputs."""

    root: Path

    def path(self, kind: str, name: str) -> Path:
        """Return the path of an artifact, which may be absent."""
        return self.root / kind / name

    def find(self, kind: str, name: str) -> Path | None:
        """Return the path of an artifact that is whole (see `is_kept`); None if it has to be made."""
        path = self.path(kind, name)
        return path if is_kept(path) else None

    @contextmanager
    def write(self, kind: str, name: str) -> Iterator[Path]:
        """Yield a temporary path; when the block succeeds, the file at this path becomes the artifact."""
        with sealing(self.path(kind, name)) as temporary:
            yield temporary


def is_kept(path: Path) -> bool:
    """Return whether a sealed file exists and is whole; a damaged one is set aside, so that it is made again.

    Each process compares the whole file with its digests once.
    """
    try:
        SealedFile(path).view()
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
