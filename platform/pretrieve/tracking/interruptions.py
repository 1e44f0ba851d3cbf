"""What cut a trial's process short, told by its driver in a file beside the spool: the process itself cannot."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FailureKind = Literal["node lost", "process lost", "out of memory", "hung", "disk full", "program error"]

SUFFIX = ".interruptions"


@dataclass(frozen=True)
class Interruption:
    """One end of a trial's process before the trial's own.

    Attributes:
      kind: what ended it.
      message: what Ray said of it.
      time_ms: when its driver heard of it, milliseconds since 1970.
    """

    kind: FailureKind
    message: str
    time_ms: int


class InterruptionLog:
    """The interruptions of one trial, oldest first.

    Args:
      spool_path: of the trial; the log lies beside it.
    """

    def __init__(self, spool_path: Path) -> None:
        self._path = spool_path.with_suffix(SUFFIX)

    def append(self, kind: FailureKind, message: str) -> None:
        """Add one that happened now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"kind": kind, "message": message, "time_ms": time.time_ns() // 1_000_000})
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            os.truncate(self._path, size)  # a full disk may have taken half of it
            raise

    def read(self, *, since_ms: int = 0) -> list[Interruption]:
        """Return those heard of since a time; none where there is no log."""
        if not self._path.exists():
            return []
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        return [Interruption(**line) for line in lines if line["time_ms"] >= since_ms]

    def remove(self) -> None:
        """Delete the log: it was delivered and its trial is finished."""
        self._path.unlink(missing_ok=True)


def counts_as_text(interruptions: Iterable[Interruption]) -> str:
    """Count interruptions by kind, as the JSON that a trial's tag holds.

    >>> counts_as_text([Interruption("hung", "", 0), Interruption("node lost", "", 1), Interruption("hung", "", 2)])
    '{"hung": 2, "node lost": 1}'
    """
    return json.dumps(dict(sorted(Counter(interruption.kind for interruption in interruptions).items())))
