"""Views of a running study: a live picture on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.views.line_view import LineView
from pretrieve.study.views.live_view import LiveView

__all__ = ["LineView", "LiveView", "terminal_view"]


@contextmanager
def terminal_view(settings: StudySettings, console: Console | None = None) -> Iterator[StudyObserver]:
    """Show a study within the block: live where the console can be redrawn, else line by line (logs, jobs)."""
    console = console or Console(markup=False, emoji=False)
    if not console.is_terminal:
        yield LineView(console)
        return
    view = LiveView(settings, console)
    with view.shown():
        yield view
