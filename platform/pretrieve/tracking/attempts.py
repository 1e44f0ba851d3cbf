"""The attempts of a trial, as its spool tells them and as the tag of its run holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pretrieve.records import Attempt
from pretrieve.tracking.spool import SpooledStart, SpoolLine

MAX_ATTEMPTS_TOLD = 40
"""Of one trial; a tag has room for no more, and the latest matter."""


def attempts_of(lines: Iterable[SpoolLine]) -> list[Attempt]:
    """Read the attempts of a trial from its spool: each ends with the last thing that was heard of it."""
    attempts: list[Attempt] = []
    for line in lines:
        if isinstance(line, SpooledStart):
            attempts.append(Attempt(line.worker, line.time_ms, None))
        elif attempts:
            last = attempts.pop()
            attempts.append(Attempt(last.worker, last.start_ms, line.time_ms))
    return attempts


def attempts_as_text(attempts: Sequence[Attempt]) -> str:
    """Write attempts as the JSON that a trial's tag holds.

    >>> attempts_as_text([Attempt("node-1", 5, 9)])
    '[["node-1", 5, 9]]'
    """
    told = [[each.worker, each.start_ms, each.end_ms] for each in attempts[-MAX_ATTEMPTS_TOLD:]]
    return json.dumps(told, ensure_ascii=False)


def attempts_from_text(text: str) -> list[Attempt]:
    """Read what `attempts_as_text` wrote.

    >>> attempts_from_text('[["node-1", 5, null]]')
    [Attempt(worker='node-1', start_ms=5, end_ms=None)]
    """
    return [Attempt(*each) for each in json.loads(text)]
