"""A running study as a picture that redraws itself: stages, running trials, the best scores so far, the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pretrieve.study.settings import StudySettings
from pretrieve.study.views.progress_state import ProgressState, describe_seconds

REFRESHES_PER_S = 4
MAX_NOTICES = 5


class LiveView(ProgressState):
    """Draws the state of a study in place, on a terminal.

    Rich draws in a thread of its own, so what is drawn is copied first: the events of the study change it meanwhile.
    """

    def __init__(self, settings: StudySettings, console: Console) -> None:
        super().__init__()
        self._settings = settings
        self._console = console

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs; the last picture stays."""
        with Live(get_renderable=self.render, console=self._console, refresh_per_second=REFRESHES_PER_S):
            yield

    def render(self) -> RenderableType:
        repeat = f", {self.describe_repeat()}" if self.repeat > 1 else ""
        parts: list[RenderableType] = [Text(f"study {self._settings.name}{repeat}", style="bold"), self._stages()]
        if self.running:
            parts.append(self._running())
        if self.best:
            parts.append(self._best())
        notices = list(self.notices)
        parts += [Text(f"note: {notice}", style="yellow") for notice in notices[-MAX_NOTICES:]]
        if len(notices) > MAX_NOTICES:
            parts.append(Text(f"… and {len(notices) - MAX_NOTICES} notes before", style="yellow"))
        return Group(*parts)

    def _stages(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for stage, state in dict(self.stages).items():
            bar = ProgressBar(total=max(state.total, 1), completed=state.done, width=24)
            mark = "✓" if state.seconds is not None else "…"
            table.add_row(mark, stage, bar, f"{state.done} / {state.total}", Text(self._timing(stage, now)))
        return table

    def _timing(self, stage: str, now: float) -> str:
        state = self.stages[stage]
        detail = f", {state.detail}" if state.detail else ""
        if state.seconds is not None:
            found = f" ({state.found} found)" if state.found else ""
            return describe_seconds(state.seconds) + found + detail
        left = self.seconds_left(stage, now)
        elapsed = describe_seconds(now - state.started)
        return (elapsed if left is None else f"{elapsed}, about {describe_seconds(left)} left") + detail

    def _running(self) -> Text:
        lines = [
            f"  {event.target} · {event.method}: {event.description}, epoch {event.epoch}"
            for event in list(self.running.values())[:8]
        ]
        counts = {"failed": self.num_failed, "diverged": self.num_diverged, "stopped early": self.num_stopped}
        others = "".join(f", {count} {state}" for state, count in counts.items() if count)
        return Text("\n".join([f"{len(self.running)} under way{others}", *lines]))

    def _best(self) -> Table:
        table = Table(title="best on validation so far, %", title_justify="left", box=None, padding=(0, 1))
        table.add_column("method")
        targets = [target.display_name for target in self._settings.targets]
        for target in targets:
            table.add_column(Text(target), justify="right")
        for method in self._settings.method_names:
            scores = [self.best.get((target, method)) for target in targets]
            table.add_row(Text(method), *("·" if score is None else f"{100 * score:.1f}" for score in scores))
        return table
