"""What is known of a trial, and what MLflow is to be told next: pure transitions, without files, clock or MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pretrieve.records import Attempt
from pretrieve.tracking import schema
from pretrieve.tracking.spool import (
    RESULTS,
    Begun,
    FailureKind,
    Interruption,
    Outcome,
    SpooledEpoch,
    SpooledStart,
    SpoolLine,
    last_epoch,
    latest_end,
)

MAX_ATTEMPTS = 40
"""Of one trial in its tag, which has room for no more; the latest matter."""
MAX_POINTS = 40
"""Of a curve in a tag: what a figure shows; the metric itself has every epoch."""
MAX_MESSAGE_LENGTH = 5_000


@dataclass(frozen=True)
class LoggedRun:
    """What MLflow holds of a trial.

    Attributes:
      run_id: of its run.
      params: names of the parameters it has.
      attempts: that its tag holds; some may be of spools that are gone.
      last_epoch: up to which it has metrics of spools that are gone.
      num_lines: of the spool that it has.
      is_read: whether attempts and last epoch were read from it; until then nothing is logged.
    """

    run_id: str
    params: frozenset[str] = frozenset()
    attempts: tuple[Attempt, ...] = ()
    last_epoch: int = 0
    num_lines: int = 0
    is_read: bool = True


@dataclass(frozen=True)
class TrialState:
    """One trial or refit, as far as its spool, its driver and MLflow say.

    Attributes:
      key: hash of everything that decides its result.
      outcome: how it ended; None while it goes on, and where nothing says.
      last_score: its latest score, in [0, 1]: of a trial on val, of a refit on test; None where there is none.
      seconds: what it took until its result.
      failure: what kind of failure, where it failed.
      begun: how it was begun last; None where it was not.
      run: what MLflow holds; None where it has no run.
      delivered: the result that MLflow holds; None where it holds none.
      must_open: whether its run is to be made, or opened again.
      keeps_spool: whether a process may yet start that is to read in the spool that the trial has ended.
      has_lost_lines: whether its spool was damaged or emptied since it was begun.
      has_sent: whether something of it was sent to MLflow by this process.
    """

    key: str
    outcome: Outcome | None = None
    last_score: float | None = None
    seconds: float = 0.0
    failure: FailureKind | None = None
    begun: Begun | None = None
    run: LoggedRun | None = None
    delivered: Outcome | None = None
    must_open: bool = False
    keeps_spool: bool = False
    has_lost_lines: bool = False
    has_sent: bool = False

    @property
    def score(self) -> float | None:
        """The score that counts: of a trial that finished."""
        return self.last_score if self.outcome == "finished" else None

    @property
    def is_open(self) -> bool:
        """Whether its spool can be sent; without its parameters, a result would be one of no configuration."""
        return self.run is not None and self.run.is_read and bool(self.begun or self.run.params)


class Note(Enum):
    """An event that is said in a word."""

    SPOOL_KEPT = "a process of the trial may start from now on"
    SPOOL_RELEASED = "no process trains the trial any more, nor will one take the place of its last"
    SPOOL_LOST = "the spool was damaged and set aside, or has fewer lines than before"
    REOPENED = "the trial, which was stopped, is to be trained to its end after all"
    SENDING = "what there is of the trial is about to be sent"
    OPENED = "the effects of SENDING are done"
    RUN_DELETED = "somebody deleted the trial's run"


@dataclass(frozen=True)
class BegunEarlier:
    """An earlier driver began the trial and did not remove its files; None where they do not say how it was begun."""

    begun: Begun | None


@dataclass(frozen=True)
class SpoolRead:
    """What the trial's spool says now, and what interrupted the trial."""

    lines: tuple[SpoolLine, ...]
    interruptions: tuple[Interruption, ...] = ()


@dataclass(frozen=True)
class Delivered:
    """The effects of reading these lines are done."""

    lines: tuple[SpoolLine, ...]


@dataclass(frozen=True)
class RunFound:
    """The trial's run was made, or looked at before anything is logged to it.

    Attributes:
      run: what it holds.
      status: MLflow's word.
      outcome: that its tag holds; empty where there is none.
    """

    run: LoggedRun
    status: str = "RUNNING"
    outcome: str = ""


Event = Note | Begun | BegunEarlier | SpoolRead | Delivered | RunFound


class Task(Enum):
    """An effect that is said in a word."""

    MAKE_RUN = "make the trial's run; RunFound follows"
    FIND_RUN = "look at the trial's run; RunFound or RUN_DELETED follows"
    REOPEN_RUN = "give the trial's run the status of one that goes on"
    REMOVE_SPOOL = "remove the trial's files: MLflow has all of it"


@dataclass(frozen=True)
class Log:
    """Log to the trial's run: metrics as (name, value, milliseconds since 1970, step), tags and parameters."""

    figures: Sequence[tuple[str, float, int, int]]
    tags: Mapping[str, str]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class EndRun:
    """Give the trial's run a status, and the time at which the trial ended, in milliseconds since 1970."""

    status: str
    time_ms: int


Effect = Task | Log | EndRun
Step = tuple[TrialState, tuple[Effect, ...]]


def advance(state: TrialState, event: Event) -> Step:
    """Take in an event: return the new state of a trial, and what is to be done.

    Where effects fail, the event that says that they are done does not come. The same effects are then due again: each
    may be done twice.
    """
    match event:
        case Begun():
            return _begin(state, event), ()
        case BegunEarlier():
            return _begin_earlier(state, event.begun)
        case SpoolRead():
            return _read(state, event)
        case Delivered():
            return _deliver(state, event.lines)
        case RunFound():
            return _find(state, event)
        case Note():
            state = _NOTED[event](state)
            return state, _opening(state) if event in (Note.SENDING, Note.RUN_DELETED) else ()


def _begin(state: TrialState, begun: Begun) -> TrialState:
    if state.delivered == "stopped" and state.run:  # it goes to its end after all, in a spool of its own
        state = replace(state, outcome=None, delivered=None, run=replace(state.run, num_lines=0))
    if state.delivered:
        return state  # a process that was cut off ended it; the one that takes its place reads so, and returns
    return replace(state, begun=begun, must_open=True, has_lost_lines=False)


def _begin_earlier(state: TrialState, begun: Begun | None) -> Step:
    if state.delivered:
        return state, _removal(state)  # its driver was killed before it removed the files
    # One without a result gets a run only when it is begun again.
    return replace(state, begun=begun, must_open=begun is not None and state.outcome in RESULTS), ()


def _opening(state: TrialState) -> tuple[Effect, ...]:
    if state.delivered or (state.run is None and not (state.must_open and state.begun)):
        return ()
    if state.run is None:
        return (Task.MAKE_RUN,)
    return (Task.FIND_RUN,) if state.must_open or not state.run.is_read else ()


def _find(state: TrialState, found: RunFound) -> Step:
    run, known = found.run, state.run
    if known is not None:
        run = replace(run, num_lines=known.num_lines, last_epoch=max(run.last_epoch, known.last_epoch))
    effects: tuple[Effect, ...] = ()
    if state.must_open and found.status != "RUNNING":
        effects += (Task.REOPEN_RUN,)
    if state.must_open and found.outcome == "stopped":
        # No more: a driver that is killed before the trial's new end must leave it as one that was begun.
        effects += (Log((), {schema.TAG_OUTCOME: ""}, {}),)
    return replace(state, run=run), effects


def _lose(state: TrialState) -> TrialState:
    return replace(state, run=state.run and replace(state.run, num_lines=0), has_lost_lines=True)


def _read(state: TrialState, event: SpoolRead) -> Step:
    if state.delivered:  # also a spool that a process made anew that was cut off
        return state, _removal(state)
    if state.run and len(event.lines) < state.run.num_lines:
        state = _lose(state)
    if not event.lines:
        return state, ()
    end = latest_end(event.lines)
    state = replace(
        state,
        outcome=end.outcome if end else None,
        last_score=_latest_score(event.lines),
        seconds=end.metrics.get(schema.SECONDS, 0.0) if end and end.outcome in RESULTS else 0.0,
        failure=end.failure if end else None,
    )
    return state, _logging(state, state.run, event) if state.run and state.is_open else ()


def _logging(state: TrialState, run: LoggedRun, event: SpoolRead) -> tuple[Effect, ...]:
    new = event.lines[run.num_lines :]
    # A trial that was stopped and is now trained to its end, or whose spool was lost, repeats its first epochs.
    epochs = [line for line in new if isinstance(line, SpooledEpoch) and line.epoch > run.last_epoch]
    figures = [(name, value, each.time_ms, each.epoch) for each in epochs for name, value in each.metrics.items()]
    tags: dict[str, str] = {}
    if any(not isinstance(line, SpooledEpoch) for line in new):
        tags = _attempts_tag(run, event.lines) | _made_with_tags(new)
    end, step = latest_end(new), last_epoch(event.lines)
    ending: tuple[Effect, ...] = ()
    if end is not None:
        figures += [(name, value, end.time_ms, step) for name, value in end.metrics.items()]
        # The message also where there is none: that of an attempt before would stay.
        tags |= {
            schema.TAG_OUTCOME: end.outcome,
            schema.TAG_MESSAGE: end.message[-MAX_MESSAGE_LENGTH:],  # the error stands last in a traceback
            schema.TAG_FAILURE: end.failure or "",
            schema.TAG_INTERRUPTIONS: _counts_as_text(event.interruptions),
        }
        if step >= run.last_epoch:  # else the curve that is there has more
            tags[schema.TAG_CURVE] = curve_as_text(event.lines)
        ending = (EndRun("FINISHED" if end.outcome in RESULTS else "FAILED", end.time_ms),)
    # MLflow refuses another value of a parameter. The key says that the result is the same; where its images come from
    # may be told in other words since, and the words of its first attempt stay.
    given = state.begun.parameters if state.begun else {}
    params = {name: value for name, value in given.items() if name not in run.params}
    return (Log(figures, tags, params), *ending) if figures or tags or params else ending


def _deliver(state: TrialState, lines: Sequence[SpoolLine]) -> Step:
    if state.delivered or state.run is None:
        return state, ()
    run = replace(
        state.run,
        params=state.run.params | (state.begun.parameters.keys() if state.begun else set()),
        last_epoch=max(state.run.last_epoch, last_epoch(lines)),
        num_lines=len(lines),
    )
    state = replace(state, run=run, has_sent=state.has_sent or len(lines) > state.run.num_lines)
    end = latest_end(lines)
    if end is None or end.outcome not in RESULTS:
        return state, ()  # its spool stays: the next attempt goes on in it, and repeats no epoch
    # It was begun again, perhaps, while this was sent.
    state = replace(state, delivered=end.outcome, must_open=False)
    return state, _removal(state)


def _removal(state: TrialState) -> tuple[Effect, ...]:
    return () if state.keeps_spool else (Task.REMOVE_SPOOL,)


_NOTED: dict[Note, Callable[[TrialState], TrialState]] = {
    Note.SPOOL_KEPT: lambda state: replace(state, keeps_spool=True),
    Note.SPOOL_RELEASED: lambda state: replace(state, keeps_spool=False),
    Note.SPOOL_LOST: _lose,
    Note.REOPENED: lambda state: replace(state, outcome=None),
    Note.SENDING: lambda state: state,
    Note.OPENED: lambda state: replace(state, must_open=state.must_open and state.run is None),
    Note.RUN_DELETED: lambda state: replace(state, run=None, must_open=state.begun is not None),
}


def _latest_score(lines: Iterable[SpoolLine]) -> float | None:
    reports = [line.metrics for line in lines if not isinstance(line, SpooledStart)]
    figures = {name: value for metrics in reports for name, value in metrics.items()}
    return figures.get(schema.TEST_SCORE, figures.get(schema.VAL_SCORE))


def _attempts_tag(run: LoggedRun, lines: Iterable[SpoolLine]) -> dict[str, str]:
    """Write the attempts of a trial, also those whose spool is gone since it was stopped and goes on."""
    attempts = attempts_of(lines)
    if not attempts:
        return {}
    earlier = [each for each in run.attempts if each.start_ms < attempts[0].start_ms]
    return {schema.TAG_ATTEMPTS: attempts_as_text(earlier + attempts)}


def _made_with_tags(lines: Iterable[SpoolLine]) -> dict[str, str]:
    """Write what the latest attempt runs with: it goes on from what an earlier one left, and makes the result."""
    starts = [line for line in lines if isinstance(line, SpooledStart)]
    return {f"{schema.MADE_WITH_PREFIX}{name}": value for name, value in starts[-1].made_with.items()} if starts else {}


def attempts_of(lines: Iterable[SpoolLine]) -> list[Attempt]:
    """Read the attempts of a trial from its spool: each ends with the last thing that was heard of it."""
    attempts: list[Attempt] = []
    for line in lines:
        if isinstance(line, SpooledStart):
            attempts.append(Attempt(line.worker, line.time_ms, None))
        elif attempts:
            attempts[-1] = replace(attempts[-1], end_ms=line.time_ms)
    return attempts


def attempts_as_text(attempts: Sequence[Attempt]) -> str:
    """Write attempts as the JSON that a trial's tag holds.

    >>> attempts_as_text([Attempt("node-1", 5, 9)])
    '[["node-1", 5, 9]]'
    """
    rows = [[each.worker, each.start_ms, each.end_ms] for each in attempts[-MAX_ATTEMPTS:]]
    return json.dumps(rows, ensure_ascii=False)


def attempts_from_text(text: str) -> list[Attempt]:
    """Read what `attempts_as_text` wrote.

    >>> attempts_from_text('[["node-1", 5, null]]')
    [Attempt(worker='node-1', start_ms=5, end_ms=None)]
    """
    return [Attempt(*each) for each in json.loads(text)]


def curve_as_text(lines: Iterable[SpoolLine]) -> str:
    """Write the validation score over the epochs of a spool, evenly thinned, as the JSON that a trial's tag holds.

    MLflow gives its own history of a metric one run at a time.

    >>> curve_as_text([SpooledEpoch(1, 0, {"val/score": 0.25}), SpooledEpoch(2, 0, {"val/score": 1 / 3})])
    '[[1, 0.25], [2, 0.33333]]'
    """
    epochs = [line for line in lines if isinstance(line, SpooledEpoch) and schema.VAL_SCORE in line.metrics]
    points = [[line.epoch, round(line.metrics[schema.VAL_SCORE], 5)] for line in epochs]
    last = len(points) - 1
    if last >= MAX_POINTS:
        points = [points[round(number * last / (MAX_POINTS - 1))] for number in range(MAX_POINTS)]
    return json.dumps(points)


def _counts_as_text(interruptions: Iterable[Interruption]) -> str:
    kinds = sorted(each.kind for each in interruptions)
    return json.dumps({kind: kinds.count(kind) for kind in kinds})
