"""How far the trials of a search are: how many have ended, and what part of all their work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progressed(Protocol):
    """Receives progress of a stage: pieces done, of how many, and how many pieces' work is done in all."""

    def __call__(self, pieces: int, of: int, *, worth: float) -> None: ...


class TrialProgress:
    """Counts trials that end, and the work of those that are under way.

    A class mean is found in a moment, a network is trained for minutes: the time left follows from the work, not from
    the number of trials.

    Args:
      works: the work of each trial by its key, in any unit.
      num_unknown: further trials, which a search still proposes; each counts as much as the others on average.
    """

    def __init__(self, progressed: Progressed, works: Mapping[str, float], num_unknown: int = 0) -> None:
        self._progressed, self._works = progressed, works
        self._mean = sum(works.values()) / len(works) if works else 1.0
        self._total = len(works) + num_unknown
        self._parts: dict[str, float] = {}
        self._num_ended = 0

    def under_way(self, key: str, part: float) -> None:
        """Note that a part, in [0, 1], of a trial's work is done; one that starts again takes nothing back."""
        self._parts[key] = max(part, self._parts.get(key, 0.0))
        self._tell()

    def ended(self, key: str) -> None:
        """Note that a trial has ended, early or at its end."""
        self._parts[key] = 1.0
        self._num_ended += 1
        self._tell()

    def _tell(self) -> None:
        done = sum(self._works.get(key, self._mean) * part for key, part in self._parts.items())
        self._progressed(self._num_ended, self._total, worth=done / self._mean if self._mean else self._num_ended)
