from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.views import LineView, LiveView, terminal_view
from pretrieve.study.views.progress_state import ProgressState, StageState


def event(state: Any, score: float | None = None, target: str = "tiny-a") -> TrialEvent:
    return TrialEvent("trial", target, "uot", "lr 0.1", state, epoch=1, score=score)


def play(view: StudyObserver) -> None:
    view.stage_started("features", total=4, done=1)
    view.stage_progressed("features", 3, 4)
    view.stage_finished("features", 95.0)
    view.stage_started("trials", total=8, done=0)
    view.best_found("tiny-a", "finetune", 0.875)
    view.trial_event(event("started"))
    view.trial_event(event("progressed", 0.4))
    view.trial_event(event("finished", 0.5))
    view.trial_event(event("started", target="tiny-b"))
    view.trial_event(TrialEvent("trial", "tiny-b", "finetune", "lr 9", "diverged"))
    view.trial_event(TrialEvent("trial", "tiny-b", "finetune", "lr 8", "failed"))
    view.stage_progressed("trials", 2, 8)
    for number in range(7):
        view.noticed(f"notice {number}")


def text_of(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_picture_shows_stages_trials_best_and_time_left(make_settings: Callable[..., StudySettings]) -> None:
    view = LiveView(make_settings(), Console(file=io.StringIO()))
    play(view)
    text = text_of(view)
    assert "study tiny" in text
    assert "4 / 4" in text
    assert "1 min 35 s (1 found)" in text
    assert "2 / 8" in text
    assert "left" in text
    assert "1 under way, 1 failed, 1 diverged" in text
    assert "tiny-b · uot: lr 0.1" in text
    assert "50.0" in text
    assert "87.5" in text
    assert "notice 6" in text
    assert "notice 1" not in text
    assert "2 notes before" in text


def test_lines_tell_of_stages_faults_and_notices() -> None:
    console = Console(file=io.StringIO(), width=80)
    play(LineView(console))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "features: 3 to do, 1 found" in text
    assert "features: done, 4, 1 of them found, 1 min 35 s" in text
    assert "diverged: tiny-b · finetune, lr 9" in text
    assert "failed: tiny-b · finetune, lr 8" in text
    assert "note: notice 0" in text


def test_long_stages_get_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrieve.study.views.line_view.INTERVAL_S", 0.0)
    console = Console(file=io.StringIO(), width=80)
    view = LineView(console)
    view.stage_started("trials", total=8)
    view.stage_progressed("trials", 4, 8)
    assert isinstance(console.file, io.StringIO)
    assert "trials: 4 of 8, about 0 s left" in console.file.getvalue()


def test_time_left_is_told_from_the_pace_of_this_run() -> None:
    state = StageState(total=10, done=6, found=4, started=100.0)
    assert state.seconds_left(now=110.0) == pytest.approx(20.0)
    assert StageState(total=10, done=4, found=4, started=100.0).seconds_left(now=110.0) is None


def test_trials_side_by_side_count_half_while_they_run() -> None:
    state = ProgressState()
    state.stage_started("refits", total=12, done=0)
    for number in range(2):
        state.trial_event(TrialEvent("refit", "tiny", "uot", f"seed {number}", "started"))
    state.trial_event(TrialEvent("refit", "tiny", "uot", "seed 0", "finished"))
    state.trial_event(TrialEvent("refit", "tiny", "uot", "seed 2", "started"))
    state.trial_event(TrialEvent("trial", "tiny", "uot", "lr 1", "started"))
    state.stage_progressed("refits", 1, 12)
    now = state.stages["refits"].started + 60.0
    assert state.seconds_left("refits", now) == pytest.approx(60.0 / 2 * 10), "2 of 12 in effect, not 1"


def test_a_terminal_gets_the_picture_and_a_pipe_the_lines(make_settings: Callable[..., StudySettings]) -> None:
    with terminal_view(make_settings(), Console(file=io.StringIO(), force_terminal=False)) as view:
        assert isinstance(view, LineView)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with terminal_view(make_settings(), terminal) as view:
        assert isinstance(view, LiveView)
        play(view)
    assert isinstance(terminal.file, io.StringIO)
    assert "trials" in terminal.file.getvalue()
