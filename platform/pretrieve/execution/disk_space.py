"""What a trial writes while the disk is full: it waits, and says so instead of seeming to hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pretrieve.artifacts.full_disk import when_there_is_room
from pretrieve.execution.heartbeat import Heartbeat

WAITS_FOR_DISK_SPACE = "waits_for_disk_space"
"""Reported in place of an epoch's metrics while a trial waits."""

T = TypeVar("T")


class PatientWriter:
    """Writes the files of one trial.

    Args:
      heartbeat: of the trial, which goes on while it waits.
      report: called with WAITS_FOR_DISK_SPACE while it waits; None where a report needs more than one process.
    """

    def __init__(self, heartbeat: Heartbeat, report: Callable[[dict[str, float]], None] | None) -> None:
        self._heartbeat = heartbeat
        self._report = report

    def write(self, write: Callable[[], T]) -> T:
        """Write now, or once the disk is no longer full; see `when_there_is_room`."""
        return when_there_is_room(write, self._report_waiting)

    def _report_waiting(self) -> None:
        self._heartbeat.touch()
        if self._report is not None:
            self._report({WAITS_FOR_DISK_SPACE: 1.0})
