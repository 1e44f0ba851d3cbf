"""A running study as a picture that redraws itself: stages, running trials, the best scores so far, the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.views.progress_state import ProgressState, describe_seconds

REFRESHES_PER_S = 4
MAX_NOTICES = 5


class LiveView(StudyObserver):
    """Draws the state of a study in place, on a terminal."""

    def __init__(self, settings: StudySettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._state = ProgressState()
        self._lock = threading.Lock()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs; the last picture stays."""
        with Live(get_renderable=self.render, console=self._console, refresh_per_second=REFRESHES_PER_S):
            yield

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        with self._lock:
            self._state.start(stage, total, done)

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "") -> None:
        with self._lock:
            self._state.progress(stage, done, total, detail)

    def stage_finished(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._state.finish(stage, seconds)

    def trial_event(self, event: TrialEvent) -> None:
        with self._lock:
            self._state.move_trial(event)

    def best_found(self, target: str, method: str, score: float) -> None:
        with self._lock:
            self._state.raise_best(target, method, score)

    def noticed(self, message: str) -> None:
        with self._lock:
            self._state.notices.append(message)

    def render(self) -> RenderableType:
        with self._lock:
            parts: list[RenderableType] = [Text(f"study {self._settings.name}", style="bold"), self._stages()]
            if self._state.running:
                parts.append(self._running())
            if self._state.best:
                parts.append(self._best())
            notices = self._state.notices
            parts += [Text(f"note: {notice}", style="yellow") for notice in notices[-MAX_NOTICES:]]
            if len(notices) > MAX_NOTICES:
                parts.append(Text(f"… and {len(notices) - MAX_NOTICES} notes before", style="yellow"))
            return Group(*parts)

    def _stages(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for stage, state in self._state.stages.items():
            bar = ProgressBar(total=max(state.total, 1), completed=state.done, width=24)
            mark = "✓" if state.seconds is not None else "…"
            table.add_row(mark, stage, bar, f"{state.done} / {state.total}", self._timing(stage, now))
        return table

    def _timing(self, stage: str, now: float) -> str:
        state = self._state.stages[stage]
        detail = f", {state.detail}" if state.detail else ""
        if state.seconds is not None:
            found = f" ({state.found} found)" if state.found else ""
            return describe_seconds(state.seconds) + found + detail
        left = self._state.seconds_left(stage, now)
        elapsed = describe_seconds(now - state.started)
        return (elapsed if left is None else f"{elapsed}, about {describe_seconds(left)} left") + detail

    def _running(self) -> Text:
        lines = [
            f"  {event.target} · {event.method}: {event.description}, epoch {event.epoch}"
            for event in list(self._state.running.values())[:8]
        ]
        failed = f", {self._state.num_failed} failed" if self._state.num_failed else ""
        diverged = f", {self._state.num_diverged} diverged" if self._state.num_diverged else ""
        stopped = f", {self._state.num_stopped} stopped early" if self._state.num_stopped else ""
        return Text("\n".join([f"{len(self._state.running)} under way{failed}{diverged}{stopped}", *lines]))

    def _best(self) -> Table:
        table = Table(title="best on validation so far, %", title_justify="left", box=None, padding=(0, 1))
        table.add_column("method")
        targets = [target.display_name for target in self._settings.targets]
        for target in targets:
            table.add_column(target, justify="right")
        for method in self._settings.methods:
            scores = [self._state.best.get((target, method)) for target in targets]
            table.add_row(method, *("·" if score is None else f"{100 * score:.1f}" for score in scores))
        return table
