"""What happens in a study while it runs, told to whoever watches: a live view, a log, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrialEvent:
    """A trial or refit that started, moved or ended.

    Attributes:
      kind: `trial` or `refit`.
      target: its target.
      method: its method.
      description: its configuration in a line.
      state: what happened.
      epoch: the epochs done.
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
    """Hears what a study does; this one does nothing, a view overrides what it shows."""

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        """Hear that a stage of `total` pieces begins, of which an earlier run left `done`."""

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Hear that `done` of the stage's pieces are there, and perhaps a figure that moves with them."""

    def stage_finished(self, stage: str, seconds: float) -> None:
        """Hear that a stage is done."""

    def trial_event(self, event: TrialEvent) -> None:
        """Hear that a trial or refit moved."""

    def best_found(self, target: str, method: str, score: float) -> None:
        """Hear the best validation score, in [0, 1], that earlier runs left in a cell."""

    def noticed(self, message: str) -> None:
        """Hear something a user should know, such as an image that does not decode."""
