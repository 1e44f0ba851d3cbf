"""What the fuzzes share: how many cases they try, and what a reader of anybody's files must not do.

The suite tries a few cases of each. PRETRIEVE_FUZZ=2000 tries so many:

    PRETRIEVE_FUZZ=2000 python -m pytest $(git grep -l "from fuzzing" tests)
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY_LIMIT_KIB = 500 * 1024

PROCESSES = ("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn")
CODE = (sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[1]))
"""Modules may be imported late, and read their own data."""

_watched: list[tuple[str, str]] | None = None


def num_cases(few: int) -> int:
    """Return how many cases a fuzz tries; `few` take a few seconds."""
    return int(os.environ.get("PRETRIEVE_FUZZ", few))


@contextmanager
def harmless(*own: Path) -> Iterator[None]:
    """Fail where the block starts a process, opens a file that is neither its own nor code, or takes 500 MB more."""
    global _watched
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _watched = events = []
    try:
        yield
    finally:
        _watched = None
    places = [*CODE, *map(str, own)]
    others = [each for each in events if each[0] != "open" or not each[1].startswith(tuple(places))]
    assert not others, others
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEMORY_LIMIT_KIB, f"{grown} KiB"


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watched is None or (event != "open" and event not in PROCESSES):
        return
    place = arguments[0] if arguments else ""
    if isinstance(place, str | bytes):  # a number is a file that is open already
        _watched.append((event, os.fsdecode(place)))


sys.addaudithook(_watch)
