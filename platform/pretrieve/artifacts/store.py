"""The store: what a study makes, found again by kind and key, whole or not at all."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pretrieve.artifacts.seals import DamagedArtifactError, SealedFile, sealing

logger = logging.getLogger(__name__)
"""Each damaged file that is set aside is a warning here; a study passes them on to whoever watches it."""

TEMPORARY_SUFFIX = ".tmp"


@dataclass(frozen=True)
class ArtifactStore:
    """A folder of sealed files, one folder a kind, each file under the key of what it was made from.

    Attributes:
      root: the folder of kinds.
    """

    root: Path

    def path(self, kind: str, name: str) -> Path:
        """Return where an artifact lies, or would lie."""
        return self.root / kind / name

    def find(self, kind: str, name: str) -> Path | None:
        """Return an artifact that is there and whole, see `is_kept`; None where it is to be made."""
        path = self.path(kind, name)
        return path if is_kept(path) else None

    @contextmanager
    def write(self, kind: str, name: str) -> Iterator[Path]:
        """Yield a temporary path; when the block succeeds, the file at it becomes the artifact.

        Raises:
          OSError: the store cannot be written to.
        """
        with sealing(self.path(kind, name)) as temporary:
            yield temporary


def is_kept(path: Path) -> bool:
    """Tell whether a sealed file is there and whole; a damaged one is set aside, so that it is made anew.

    All of it is compared with its digests, once a process.
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
    """Rename a damaged file, and log where it is now; the next pruning removes it."""
    aside = error.path.with_name(f".{error.path.name}.damaged-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with suppress(FileNotFoundError):  # another process was faster
        error.path.rename(aside)
        logger.warning("made again, because it is damaged: %s (now %s)", error.what, aside)
