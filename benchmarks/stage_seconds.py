"""An observer that benchmarks read times from."""

from __future__ import annotations

from pretrieve.stages.observer import StudyObserver


class StageSeconds(StudyObserver):
    """Notes how long stages took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def stage_finished(self, stage: str, seconds: float) -> None:
        """Note it."""
        self.seconds[stage] = seconds
