"""The state of a running study, which both views draw."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pretrieve.stages.observer import StudyObserver, TrialEvent


@dataclass
class StageState:
    """One stage so far.

    Attributes:
      done: pieces done, by this run or an earlier one.
      found: pieces that an earlier run left.
      worth: pieces of mean size that are done, with those under way; None where pieces are alike.
      started: when, on the monotonic clock.
      seconds: duration of the stage; None while it runs.
      detail: a current figure; empty where there is none.
    """

    total: int
    done: int
    found: int
    started: float
    seconds: float | None = None
    detail: str = ""
    worth: float | None = None

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the pace of this run; None before a hundredth of what is left is done."""
        done = self.done if self.worth is None else self.worth
        if self.seconds is not None or done - self.found <= (self.total - self.found) / 100:
            return None
        return (now - self.started) / (done - self.found) * max(self.total - done, 0.0)


@dataclass
class ProgressState(StudyObserver):
    """A study so far, from its events.

    Attributes:
      stages: by name, in the order they began.
      running: running trials and refits, with the latest event of each.
      best: best validation score so far by (target, method).
      num_failed: trials without a result in this run.
      num_diverged: trials whose loss was not finite in this run.
      num_stopped: trials that the search stopped early in this run.
      notices: what a user should know.
      repeat, num_repeats: the running one, from 1, of how many.
    """

    stages: dict[str, StageState] = field(default_factory=dict)
    running: dict[tuple[str, str, str], TrialEvent] = field(default_factory=dict)
    best: dict[tuple[str, str], float] = field(default_factory=dict)
    num_failed: int = 0
    num_diverged: int = 0
    num_stopped: int = 0
    notices: list[str] = field(default_factory=list)
    repeat: int = 1
    num_repeats: int = 1
    _repeats_started: list[float] = field(default_factory=list)

    def repeat_started(self, number: int, total: int) -> None:
        self.repeat, self.num_repeats = number, total
        self._repeats_started.append(time.monotonic())

    def describe_repeat(self) -> str:
        """Say which repeat runs, and how long it and those after it take at the pace of the later ones so far.

        The first repeat tells nothing of it: it also makes what all of them share.
        """
        started = self._repeats_started
        told = f"repeat {self.repeat} of {self.num_repeats}"
        if len(started) < 2:
            return told
        left = (started[-1] - started[0]) / (len(started) - 1) * (self.num_repeats - self.repeat + 1)
        return f"{told}, about {describe_seconds(left)} left"

    def stage_started(self, stage: str, total: int, done: int = 0) -> None:
        self.stages[stage] = StageState(total, done, done, time.monotonic())

    def stage_progressed(self, stage: str, done: int, total: int, detail: str = "", worth: float | None = None) -> None:
        state = self.stages[stage]
        state.done, state.total, state.detail, state.worth = done, total, detail, worth

    def stage_finished(self, stage: str, seconds: float) -> None:
        state = self.stages[stage]
        state.done, state.seconds = state.total, seconds

    def seconds_left(self, stage: str, now: float) -> float | None:
        """Estimate the time left of a stage; None before enough of it is done."""
        return self.stages[stage].seconds_left(now)

    def trial_event(self, event: TrialEvent) -> None:
        identity = (event.target, event.method, event.description)
        if event.state in ("started", "progressed"):
            self.running[identity] = event
            return
        self.running.pop(identity, None)
        self.num_failed += event.state == "failed"
        self.num_diverged += event.state == "diverged"
        self.num_stopped += event.state == "stopped"
        if event.state == "finished" and event.kind == "trial" and event.score is not None:
            self.best_found(event.target, event.method, event.score)

    def best_found(self, target: str, method: str, score: float) -> None:
        self.best[target, method] = max(score, self.best.get((target, method), 0.0))

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def describe_seconds(seconds: float) -> str:
    """Write a duration for people.

    >>> describe_seconds(8.4), describe_seconds(95), describe_seconds(7300)
    ('8 s', '1 min 35 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
