"""The state of a trial and the next writes to MLflow: pure transitions, without files, clock or MLflow."""

from __future__ import annotations

import json
from collections import Counter
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
"""Number of attempts in a trial's tag, the latest; a tag cannot hold more."""
MAX_POINTS = 40
"""Number of points of a curve in a tag, for figures; the metric itself has every epoch."""
MAX_MESSAGE_LENGTH = 5_000


@dataclass(frozen=True)
class LoggedRun:
    """The record of a trial in MLflow."""

    run_id: str
    params: frozenset[str] = frozenset()  # names of its parameters
    attempts: tuple[Attempt, ...] = ()  # in its tag; some may come from removed spools
    last_epoch: int = 0  # the last one with metrics from removed spools
    num_lines: int = 0  # of the spool that were logged
    is_read: bool = True  # whether attempts and last epoch were read from the run; until then nothing is logged


@dataclass(frozen=True)
class TrialState:
    """The state of one trial or refit, from its spool, its driver and MLflow."""

    key: str  # hash of everything that decides its result
    outcome: Outcome | None = None  # its end; None while it runs, or if the end is not known
    last_score: float | None = None  # its latest score in [0, 1], of a trial on val and of a refit on test
    seconds: float = 0.0  # running time until its result
    failure: FailureKind | None = None
    begun: Begun | None = None  # its last start
    run: LoggedRun | None = None
    delivered: Outcome | None = None  # the result in MLflow
    must_open: bool = False  # whether its run has to be made or opened again
    keeps_spool: bool = False  # whether a process may still start that has to read the trial's end in the spool
    has_lost_lines: bool = False  # whether its spool was damaged or emptied since the trial began
    has_sent: bool = False  # whether this process sent anything of it to MLflow

    @property
    def score(self) -> float | None:
        """The last score of a finished trial; None for any other."""
        return self.last_score if self.outcome == "finished" else None

    @property
    def is_open(self) -> bool:
        """Whether its spool can be sent; a run needs its parameters, or its result would belong to no configuration."""
        return self.run is not None and self.run.is_read and bool(self.begun or self.run.params)


class Note(Enum):
    """An event without data."""

    SPOOL_KEPT = "a process of the trial may start from now on"
    SPOOL_RELEASED = "no process trains the trial any more, nor will one take the place of its last"
    SPOOL_LOST = "the spool was damaged and set aside, or has fewer lines than before"
    REOPENED = "the trial, which was stopped, is to be trained to its end after all"
    SENDING = "what there is of the trial is about to be sent"
    OPENED = "the effects of SENDING are done"
    RUN_DELETED = "somebody deleted the trial's run"


@dataclass(frozen=True)
class BegunEarlier:
    """An earlier driver began the trial and did not remove its files; None if they lack the start."""

    begun: Begun | None


@dataclass(frozen=True)
class SpoolRead:
    """The current lines of the trial's spool, and its interruptions."""

    lines: tuple[SpoolLine, ...]
    interruptions: tuple[Interruption, ...] = ()


@dataclass(frozen=True)
class Delivered:
    """The effects of reading these lines are carried out."""

    lines: tuple[SpoolLine, ...]


@dataclass(frozen=True)
class RunFound:
    """The trial's run was made, or was read before anything is logged to it; `outcome` is that of its tag, or empty."""

    run: LoggedRun
    status: str = "RUNNING"
    outcome: str = ""


Event = Note | Begun | BegunEarlier | SpoolRead | Delivered | RunFound


class Task(Enum):
    """An effect without data."""

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
    """Return the new state of a trial after an event, and the effects to carry out.

    If effects fail, the event that reports them as carried out does not come, and the same effects are due again. So
    each effect may be carried out twice.
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
    if state.delivered == "stopped" and state.run:  # it is trained to its end, in a new spool
        state = replace(state, outcome=None, delivered=None, run=replace(state.run, num_lines=0))
    if state.delivered:
        return state  # a process that was cut off ended it; its replacement reads this and returns
    return replace(state, begun=begun, must_open=True, has_lost_lines=False)


def _begin_earlier(state: TrialState, begun: Begun | None) -> Step:
    if state.delivered:
        return state, _removal(state)  # its driver was killed before it removed the files
    # A trial without a result gets a run only when it begins again.
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
    reopening = (Task.REOPEN_RUN,) if state.must_open and found.status != "RUNNING" else ()
    # If the driver is killed before the new end of a stopped trial, the trial must count as begun.
    clears_outcome = state.must_open and found.outcome == "stopped"
    clearing = (Log((), {schema.TAG_OUTCOME: ""}, {}),) if clears_outcome else ()
    return replace(state, run=run), (*reopening, *clearing)


def _lose(state: TrialState) -> TrialState:
    return replace(state, run=state.run and replace(state.run, num_lines=0), has_lost_lines=True)


def _read(state: TrialState, event: SpoolRead) -> Step:
    if state.delivered:  # a process that was cut off may have made the spool again
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
    # A trial repeats its first epochs if it was stopped and is now trained to its end, or if its spool was lost.
    epochs = [line for line in new if isinstance(line, SpooledEpoch) and line.epoch > run.last_epoch]
    figures = [(name, value, each.time_ms, each.epoch) for each in epochs for name, value in each.metrics.items()]
    has_start_or_end = any(not isinstance(line, SpooledEpoch) for line in new)
    tags = _attempt_tags(run, event.lines, new) if has_start_or_end else {}
    end, step = latest_end(new), last_epoch(event.lines)
    ending: tuple[Effect, ...] = ()
    if end is not None:
        figures += [(name, value, end.time_ms, step) for name, value in end.metrics.items()]
        # An empty message is written too, or that of an earlier attempt would stay.
        tags |= {
            schema.TAG_OUTCOME: end.outcome,
            schema.TAG_MESSAGE: end.message[-MAX_MESSAGE_LENGTH:],  # the error is the end of a traceback
            schema.TAG_FAILURE: end.failure or "",
            schema.TAG_INTERRUPTIONS: json.dumps(Counter(sorted(each.kind for each in event.interruptions))),
        }
        if step >= run.last_epoch:  # else the curve in the run has more epochs
            tags[schema.TAG_CURVE] = curve_as_text(event.lines)
        ending = (EndRun("FINISHED" if end.outcome in RESULTS else "FAILED", end.time_ms),)
    # MLflow refuses to change a parameter. Equal keys mean equal results, but the description of the images' origin may
    # have changed since the first attempt, whose description stays.
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
        return state, ()  # its spool stays for the next attempt, which repeats no epoch
    # It may have begun again while this was sent.
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


def _attempt_tags(run: LoggedRun, lines: Iterable[SpoolLine], new: Iterable[SpoolLine]) -> dict[str, str]:
    """Write the attempts of a trial, including those of a removed spool, and what a new attempt runs with.

    The latest attempt goes on from what an earlier one left, and makes the result.
    """
    starts = [line for line in new if isinstance(line, SpooledStart)]
    made_with = starts[-1].made_with if starts else {}
    tags = {f"{schema.MADE_WITH_PREFIX}{name}": value for name, value in made_with.items()}
    if attempts := attempts_of(lines):
        earlier = [each for each in run.attempts if each.start_ms < attempts[0].start_ms]
        tags[schema.TAG_ATTEMPTS] = attempts_as_text(earlier + attempts)
    return tags


def attempts_of(lines: Iterable[SpoolLine]) -> list[Attempt]:
    """Read the attempts of a trial from its spool; each ends at the time of its last line."""
    attempts: list[Attempt] = []
    for line in lines:
        if isinstance(line, SpooledStart):
            attempts.append(Attempt(line.worker, line.time_ms, None))
        elif attempts:
            attempts[-1] = replace(attempts[-1], end_ms=line.time_ms)
    return attempts


def attempts_as_text(attempts: Sequence[Attempt]) -> str:
    """Write attempts as the JSON of a trial's tag.

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


def epoch_scores(lines: Iterable[SpoolLine], name: str = schema.VAL_SCORE) -> list[tuple[int, float]]:
    """Return (epoch, score in [0, 1]) of the epochs of a spool that have a score; `name` is that of the metric."""
    epochs = [line for line in lines if isinstance(line, SpooledEpoch) and name in line.metrics]
    return [(line.epoch, line.metrics[name]) for line in epochs]


def curve_as_text(lines: Iterable[SpoolLine]) -> str:
    """Write the validation score over the epochs of a spool, evenly thinned, as the JSON of a trial's tag.

    The tag is needed because MLflow returns the history of a metric for one run at a time only.

    >>> curve_as_text([SpooledEpoch(1, 0, {"val/score": 0.25}), SpooledEpoch(2, 0, {"val/score": 1 / 3})])
    '[[1, 0.25], [2, 0.33333]]'
    """
    points = [[epoch, round(score, 5)] for epoch, score in epoch_scores(lines)]
    last = len(points) - 1
    if last >= MAX_POINTS:
        points = [points[round(number * last / (MAX_POINTS - 1))] for number in range(MAX_POINTS)]
    return json.dumps(points)
