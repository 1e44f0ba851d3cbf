"""What a trial writes while the disk is full: it waits, and says so instead of seeming to hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pretrieve.execution.heartbeat import Heartbeat
from pretrieve.full_disk import when_there_is_room

WAITS_FOR_ROOM = "waits_for_room"
"""The figure in a trial's report, beside none of an epoch's, that says so."""

T = TypeVar("T")


class Room:
    """Writes of one trial.

    Args:
      heartbeat: of the trial, which goes on while it waits.
      report: hears that it waits; None where a report needs more than one worker.
    """

    def __init__(self, heartbeat: Heartbeat, report: Callable[[dict[str, float]], None] | None) -> None:
        self._heartbeat = heartbeat
        self._report = report

    def write(self, write: Callable[[], T]) -> T:
        """Write now, or once the disk is no longer full; see `when_there_is_room`."""
        return when_there_is_room(write, self._say)

    def _say(self) -> None:
        self._heartbeat.touch()
        if self._report is not None:
            self._report({WAITS_FOR_ROOM: 1.0})
