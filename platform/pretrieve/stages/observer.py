"""The events of a running study, for whatever watches it: a live view, a log, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrialEvent:
    """A trial or refit that started, progressed or ended.

    Attributes:
      kind: `trial` or `refit`.
      description: its configuration in one line.
      epoch: number of finished epochs.
      score: the latest score in [0, 1]; None where there is none yet.
    """

    kind: str
    target: str
    method: str
    description: str
    state: Literal["started", "progressed", "finished", "diverged", "stopped", "failed"]
    epoch: int = 0
    score: float | None = None


class StudyObserver:
    """Receives the events of a study. This class ignores them; a view overrides the methods it needs."""

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        """Receive the start of a stage of `total` pieces, of which an earlier run left `done`."""

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Receive the number of a stage's pieces that are done; `detail` may hold a current figure."""

    def stage_finished(self, stage: str, seconds: float) -> None:
        """Receive the end of a stage."""

    def trial_event(self, event: TrialEvent) -> None:
        """Receive an event of a trial or refit."""

    def best_found(self, target: str, method: str, score: float) -> None:
        """Receive the best validation score, in [0, 1], that earlier runs left in a cell."""

    def noticed(self, message: str) -> None:
        """Receive a message that a user should read, such as an image that does not decode."""
