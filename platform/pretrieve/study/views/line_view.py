"""A running study as lines of text, for logs, jobs and pipes."""

from __future__ import annotations

import time

from rich.console import Console

from pretrieve.stages.observer import TrialEvent
from pretrieve.study.views.progress_state import ProgressState, describe_seconds

FIRST_INTERVAL_S = 4.0
MAX_INTERVAL_S = 60.0


class LineView(ProgressState):
    """Prints a line when a stage begins or ends, soon one of a long stage, then ever fewer, down to one a minute."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last_line, self._interval_s = time.monotonic(), FIRST_INTERVAL_S
        self._finished: set[str] = set()

    def repeat_started(self, number: int, total: int) -> None:
        super().repeat_started(number, total)
        self._print(self.describe_repeat())

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        super().stage_started(stage, total, done)
        self._interval_s = FIRST_INTERVAL_S
        if done < total:
            self._print(f"{stage}: {total - done} to do" + (f", {done} found" if done else ""))

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "", worth: float | None = None) -> None:
        super().stage_progressed(stage, done, total, detail, worth)
        if time.monotonic() - self._last_line < self._interval_s:
            return
        self._interval_s = min(2 * self._interval_s, MAX_INTERVAL_S)
        left = self.seconds_left(stage, time.monotonic())
        parts = [f"{stage}: {done} of {total}", *([detail] if detail else [])]
        self._print(", ".join(parts + ([] if left is None else [f"about {describe_seconds(left)} left"])))

    def stage_finished(self, stage: str, seconds: float) -> None:
        super().stage_finished(stage, seconds)
        state = self.stages[stage]
        if state.found == state.total and stage in self._finished:
            return  # folds and later repeats find again what the first walk made
        self._finished.add(stage)
        found = f", {state.found} of them found" if state.found else ""
        detail = f", {state.detail}" if state.detail else ""
        self._print(f"{stage}: done, {state.total}{found}{detail}, {describe_seconds(seconds)}")

    def trial_event(self, event: TrialEvent) -> None:
        """Print trials that failed or diverged; the others are in the count."""
        super().trial_event(event)
        if event.state in ("failed", "diverged"):
            self._print(f"{event.state}: {event.target} · {event.method}, {event.description}")

    def noticed(self, message: str) -> None:
        self._print(f"note: {message}")

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
