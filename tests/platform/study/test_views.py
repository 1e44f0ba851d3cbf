from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pretrieve.stages.observer import StageClock, StudyObserver, TrialEvent
from pretrieve.stages.trial_progress import TrialProgress
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


def test_what_a_later_walk_finds_again_is_no_further_line() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = LineView(console)
    for done in (1, 4, 4, 2):
        view.stage_started("features", total=4, done=done)
        view.stage_finished("features", 2.0)
    assert isinstance(console.file, io.StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if "done" in line]
    assert lines == ["features: done, 4, 1 of them found, 2 s", "features: done, 4, 2 of them found, 2 s"]


def test_long_stages_get_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrieve.study.views.line_view.FIRST_INTERVAL_S", 0.0)
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


def test_the_time_left_follows_the_work_that_is_done_not_the_number_of_trials() -> None:
    clock, state = StageClock(observer := ProgressState()), observer.stages
    works = {"means": 1.0, "a": 99.0, "b": 100.0, "c": 200.0}
    with clock.stage("trials", total=6, done=2) as progressed:
        progress = TrialProgress(progressed, works)
        progress.ended("means")
        assert (state["trials"].done, left(observer, 1.0)) == (3, None), "too little is done to tell"
        progress.under_way("a", 0.5)
        assert left(observer, 50.5) == pytest.approx(349.5), "trials that are under way count by their epochs"
        progress.under_way("a", 0.25)
        assert left(observer, 50.5) == pytest.approx(349.5), "what is done again takes nothing back"
        for key in ("a", "b", "c"):
            progress.ended(key)
        assert (state["trials"].done, left(observer, 400.0)) == (6, pytest.approx(0.0))


def test_later_repeats_say_what_is_left_at_the_pace_of_those_before(
    monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., StudySettings]
) -> None:
    console, view = Console(file=io.StringIO(), width=80), LiveView(make_settings(), Console(file=io.StringIO()))
    lines = LineView(console)
    for second, number in ((0.0, 2), (60.0, 3), (160.0, 4)):
        monkeypatch.setattr("time.monotonic", lambda now=second: now)
        view.repeat_started(number, 5)
        lines.repeat_started(number, 5)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "repeat 2 of 5",
        "repeat 3 of 5, about 3 min 00 s left",
        "repeat 4 of 5, about 2 min 40 s left",
    ]
    monkeypatch.undo()
    assert "study tiny, repeat 4 of 5, about 2 min 40 s left" in text_of(view)


def test_trials_that_a_search_still_proposes_count_as_the_others_do() -> None:
    told: list[tuple[int, int, float]] = []
    progress = TrialProgress(lambda pieces, of, worth: told.append((pieces, of, worth)), {"a": 50.0}, num_unknown=3)
    progress.under_way("a", 0.5)
    progress.ended("new")
    assert told == [(0, 4, 0.5), (1, 4, 1.5)]


def left(observer: ProgressState, seconds: float) -> float | None:
    return observer.seconds_left("trials", observer.stages["trials"].started + seconds)


def test_a_terminal_gets_the_picture_and_a_pipe_the_lines(make_settings: Callable[..., StudySettings]) -> None:
    with terminal_view(make_settings(), Console(file=io.StringIO(), force_terminal=False)) as view:
        assert isinstance(view, LineView)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with terminal_view(make_settings(), terminal) as view:
        assert isinstance(view, LiveView)
        play(view)
    assert isinstance(terminal.file, io.StringIO)
    assert "trials" in terminal.file.getvalue()
