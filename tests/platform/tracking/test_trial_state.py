"""What is known of a trial after each event, and what is done then: a table, without files or MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pretrieve.records import Attempt
from pretrieve.tracking import schema
from pretrieve.tracking.spool import Begun, Interruption, SpooledEnd, SpooledEpoch, SpooledStart, SpoolLine
from pretrieve.tracking.trial_state import (
    MAX_ATTEMPTS,
    MAX_POINTS,
    BegunEarlier,
    Delivered,
    Effect,
    EndRun,
    Event,
    Log,
    LoggedRun,
    Note,
    RunFound,
    SpoolRead,
    Task,
    TrialState,
    advance,
    attempts_as_text,
    attempts_of,
    curve_as_text,
)
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec

SPEC = TrialSpec(
    kind="trial",
    target="birds",
    method="uot",
    objective="joint",
    hyperparameters=Hyperparameters(lr=0.1, source_weight=0.3),
    seed=0,
    key="k1",
    training=TrainingSettings(),
    metric="top1",
    num_target_classes=3,
    num_source_classes=0,
)
BEGUN = Begun(SPEC, {"lr": 0.1})
START, FIRST, SECOND = (
    SpooledStart("n1", 10),
    SpooledEpoch(1, 20, {"val/score": 0.25}),
    SpooledEpoch(2, 30, {"val/score": 0.5}),
)
FINISHED = SpooledEnd("finished", 40, {schema.SECONDS: 3.0}, "")
STOPPED = SpooledEnd("stopped", 40, {schema.SECONDS: 3.0}, "others were ahead")
FAILED = SpooledEnd("failed", 40, {}, "it broke", "process lost")

NEW = TrialState("k1")
BEGUN_STATE = TrialState("k1", begun=BEGUN, must_open=True)
RUN = LoggedRun("r1")
OPEN = TrialState("k1", begun=BEGUN, run=RUN)
LOGGED = replace(
    OPEN, run=LoggedRun("r1", frozenset({"lr"}), last_epoch=1, num_lines=2), has_sent=True, last_score=0.25
)
ENDED = replace(LOGGED, outcome="finished", last_score=0.5, seconds=3.0)
DONE = TrialState("k1", "finished", 0.5, 3.0, begun=BEGUN, run=LoggedRun("r1"), delivered="finished")
STOPPED_STATE = TrialState("k1", "stopped", 0.5, begun=BEGUN, run=LoggedRun("r1", num_lines=4), delivered="stopped")


def tags_of_end(end: SpooledEnd, curve: str, interruptions: str = "{}") -> dict[str, str]:
    return {
        schema.TAG_ATTEMPTS: f'[["n1", 10, {end.time_ms}]]',
        schema.TAG_OUTCOME: end.outcome,
        schema.TAG_MESSAGE: end.message,
        schema.TAG_FAILURE: end.failure or "",
        schema.TAG_INTERRUPTIONS: interruptions,
        schema.TAG_CURVE: curve,
    }


def read(*lines: SpoolLine) -> SpoolRead:
    return SpoolRead(lines)


CURVE = "[[1, 0.25], [2, 0.5]]"
LOST = (Interruption("node lost", "it is gone", 35),)

TABLE: dict[str, tuple[TrialState, Event, TrialState, tuple[Effect, ...]]] = {
    "begun": (NEW, BEGUN, BEGUN_STATE, ()),
    "begun again, after a failure": (
        replace(LOGGED, has_lost_lines=True),
        BEGUN,
        replace(LOGGED, must_open=True),
        (),
    ),
    "begun again, after its end was delivered": (DONE, BEGUN, DONE, ()),
    "begun again, after it was stopped": (
        STOPPED_STATE,
        BEGUN,
        replace(STOPPED_STATE, outcome=None, delivered=None, run=LoggedRun("r1"), must_open=True),
        (),
    ),
    "begun by an earlier driver, under way": (NEW, BegunEarlier(BEGUN), TrialState("k1", begun=BEGUN), ()),
    "begun by an earlier driver, not known how": (NEW, BegunEarlier(None), NEW, ()),
    "begun by an earlier driver, ended": (
        replace(NEW, outcome="diverged"),
        BegunEarlier(BEGUN),
        replace(BEGUN_STATE, outcome="diverged"),
        (),
    ),
    "begun by an earlier driver, delivered": (DONE, BegunEarlier(BEGUN), DONE, (Task.REMOVE_SPOOL,)),
    "a process may start": (NEW, Note.SPOOL_KEPT, replace(NEW, keeps_spool=True), ()),
    "no process starts any more": (replace(DONE, keeps_spool=True), Note.SPOOL_RELEASED, DONE, ()),
    "reopened": (STOPPED_STATE, Note.REOPENED, replace(STOPPED_STATE, outcome=None), ()),
    "sent before it was begun": (NEW, Note.SENDING, NEW, ()),
    "sent, without a run": (BEGUN_STATE, Note.SENDING, BEGUN_STATE, (Task.MAKE_RUN,)),
    "sent, under way": (LOGGED, Note.SENDING, LOGGED, ()),
    "sent, begun again": (
        replace(LOGGED, must_open=True),
        Note.SENDING,
        replace(LOGGED, must_open=True),
        (Task.FIND_RUN,),
    ),
    "sent, listed by MLflow": (
        TrialState("k1", run=LoggedRun("r1", is_read=False)),
        Note.SENDING,
        TrialState("k1", run=LoggedRun("r1", is_read=False)),
        (Task.FIND_RUN,),
    ),
    "sent, delivered": (DONE, Note.SENDING, DONE, ()),
    "run made": (BEGUN_STATE, RunFound(RUN), replace(BEGUN_STATE, run=RUN), ()),
    "run found, for a trial that an earlier driver began": (
        TrialState("k1", begun=BEGUN, run=LoggedRun("r1", is_read=False)),
        RunFound(LoggedRun("r1", last_epoch=2), "KILLED"),
        TrialState("k1", begun=BEGUN, run=LoggedRun("r1", last_epoch=2)),
        (),
    ),
    "run found, for a trial that was begun again": (
        replace(LOGGED, must_open=True),
        RunFound(LoggedRun("r1", frozenset({"lr"})), "FAILED", "failed"),
        replace(LOGGED, must_open=True),
        (Task.REOPEN_RUN,),
    ),
    "run found, for a trial that was stopped and goes on": (
        replace(LOGGED, must_open=True),
        RunFound(LoggedRun("r1", frozenset({"lr"}), last_epoch=4), "FINISHED", "stopped"),
        replace(LOGGED, must_open=True, run=replace(LOGGED.run or RUN, last_epoch=4)),
        (Task.REOPEN_RUN, Log((), {schema.TAG_OUTCOME: ""}, {})),
    ),
    "opened": (replace(OPEN, must_open=True), Note.OPENED, OPEN, ()),
    "opened, in vain": (BEGUN_STATE, Note.OPENED, BEGUN_STATE, ()),
    "run deleted": (LOGGED, Note.RUN_DELETED, replace(LOGGED, run=None, must_open=True), (Task.MAKE_RUN,)),
    "run deleted, of a trial that was not begun": (
        TrialState("k1", run=RUN),
        Note.RUN_DELETED,
        NEW,
        (),
    ),
    "spool read, empty": (OPEN, read(), OPEN, ()),
    "spool read, without a run": (NEW, read(START, FIRST), replace(NEW, last_score=0.25), ()),
    "spool read, run not looked at": (
        TrialState("k1", begun=BEGUN, run=LoggedRun("r1", is_read=False)),
        read(START),
        TrialState("k1", begun=BEGUN, run=LoggedRun("r1", is_read=False)),
        (),
    ),
    "spool read, no parameters known": (
        TrialState("k1", run=RUN),
        read(FIRST, FINISHED),
        TrialState("k1", "finished", 0.25, 3.0, run=RUN),
        (),
    ),
    "attempt started": (
        OPEN,
        read(START),
        OPEN,
        (Log([], {schema.TAG_ATTEMPTS: '[["n1", 10, null]]'}, {"lr": 0.1}),),
    ),
    "epoch": (
        LOGGED,
        read(START, FIRST, SECOND),
        replace(LOGGED, last_score=0.5),
        (Log([("val/score", 0.5, 30, 2)], {}, {}),),
    ),
    "nothing new": (LOGGED, read(START, FIRST), LOGGED, ()),
    "epoch that another spool reported": (
        replace(OPEN, run=LoggedRun("r1", frozenset({"lr"}), last_epoch=1)),
        read(FIRST, SECOND),
        replace(OPEN, run=LoggedRun("r1", frozenset({"lr"}), last_epoch=1), last_score=0.5),
        (Log([("val/score", 0.5, 30, 2)], {}, {}),),
    ),
    "ended: finished": (
        LOGGED,
        SpoolRead((START, FIRST, SECOND, FINISHED), LOST),
        ENDED,
        (
            Log(
                [("val/score", 0.5, 30, 2), (schema.SECONDS, 3.0, 40, 2)],
                tags_of_end(FINISHED, CURVE, '{"node lost": 1}'),
                {},
            ),
            EndRun("FINISHED", 40),
        ),
    ),
    "ended: diverged": (
        LOGGED,
        read(START, FIRST, SpooledEnd("diverged", 40, {}, "the loss must stay finite")),
        replace(LOGGED, outcome="diverged"),
        (
            Log([], tags_of_end(SpooledEnd("diverged", 40, {}, "the loss must stay finite"), "[[1, 0.25]]"), {}),
            EndRun("FINISHED", 40),
        ),
    ),
    "ended: stopped": (
        LOGGED,
        read(START, FIRST, STOPPED),
        replace(LOGGED, outcome="stopped", seconds=3.0),
        (Log([(schema.SECONDS, 3.0, 40, 1)], tags_of_end(STOPPED, "[[1, 0.25]]"), {}), EndRun("FINISHED", 40)),
    ),
    "ended: failed": (
        LOGGED,
        read(START, FIRST, FAILED),
        replace(LOGGED, outcome="failed", failure="process lost"),
        (Log([], tags_of_end(FAILED, "[[1, 0.25]]"), {}), EndRun("FAILED", 40)),
    ),
    "failed, then another attempt": (
        replace(LOGGED, outcome="failed", failure="process lost", run=replace(LOGGED.run or RUN, num_lines=3)),
        read(START, FIRST, FAILED, SpooledStart("n2", 50)),
        replace(LOGGED, run=replace(LOGGED.run or RUN, num_lines=3)),
        (Log([], {schema.TAG_ATTEMPTS: '[["n1", 10, 40], ["n2", 50, null]]'}, {}),),
    ),
    "a refit's next attempt, on another machine": (
        replace(LOGGED, outcome="failed", failure="process lost", run=replace(LOGGED.run or RUN, num_lines=3)),
        read(replace(START, made_with={"device": "CPU 1"}), FIRST, FAILED, SpooledStart("n2", 50, {"device": "CPU 2"})),
        replace(LOGGED, run=replace(LOGGED.run or RUN, num_lines=3)),
        (
            Log(
                [],
                {
                    schema.TAG_ATTEMPTS: '[["n1", 10, 40], ["n2", 50, null]]',
                    f"{schema.MADE_WITH_PREFIX}device": "CPU 2",
                },
                {},
            ),
        ),
    ),
    "failed, with fewer epochs than MLflow has": (
        replace(OPEN, run=LoggedRun("r1", frozenset({"lr"}), (Attempt("n0", 1, 5),), last_epoch=2)),
        read(START, FAILED),
        replace(
            OPEN,
            run=LoggedRun("r1", frozenset({"lr"}), (Attempt("n0", 1, 5),), last_epoch=2),
            outcome="failed",
            failure="process lost",
        ),
        (
            Log(
                [],
                {
                    schema.TAG_ATTEMPTS: '[["n0", 1, 5], ["n1", 10, 40]]',
                    schema.TAG_OUTCOME: "failed",
                    schema.TAG_MESSAGE: "it broke",
                    schema.TAG_FAILURE: "process lost",
                    schema.TAG_INTERRUPTIONS: "{}",
                },
                {},
            ),
            EndRun("FAILED", 40),
        ),
    ),
    "spool read after it was delivered": (DONE, read(START), DONE, (Task.REMOVE_SPOOL,)),
    "spool read after it was delivered, and kept": (
        replace(DONE, keeps_spool=True),
        read(START),
        replace(DONE, keeps_spool=True),
        (),
    ),
    "spool damaged": (
        LOGGED,
        Note.SPOOL_LOST,
        replace(LOGGED, run=replace(LOGGED.run or RUN, num_lines=0), has_lost_lines=True),
        (),
    ),
    "spool emptied": (
        LOGGED,
        read(),
        replace(LOGGED, run=replace(LOGGED.run or RUN, num_lines=0), has_lost_lines=True),
        (),
    ),
    "spool emptied, and written again from the checkpoint": (
        LOGGED,
        read(SECOND),
        replace(LOGGED, run=replace(LOGGED.run or RUN, num_lines=0), has_lost_lines=True, last_score=0.5),
        (Log([("val/score", 0.5, 30, 2)], {}, {}),),
    ),
    "delivered: under way": (OPEN, Delivered((START, FIRST)), replace(LOGGED, last_score=None), ()),
    "delivered: failed": (
        replace(LOGGED, outcome="failed"),
        Delivered((START, FIRST, FAILED)),
        replace(LOGGED, outcome="failed", run=replace(LOGGED.run or RUN, num_lines=3)),
        (),
    ),
    "delivered: result": (
        ENDED,
        Delivered((START, FIRST, SECOND, FINISHED)),
        replace(ENDED, run=replace(LOGGED.run or RUN, num_lines=4, last_epoch=2), delivered="finished"),
        (Task.REMOVE_SPOOL,),
    ),
    "delivered: result, begun again meanwhile": (
        replace(ENDED, must_open=True, keeps_spool=True),
        Delivered((START, FIRST, SECOND, FINISHED)),
        replace(
            ENDED, run=replace(LOGGED.run or RUN, num_lines=4, last_epoch=2), delivered="finished", keeps_spool=True
        ),
        (),
    ),
    "delivered again": (DONE, Delivered(()), DONE, ()),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_state_and_effects_follow_from_state_and_event(row: tuple[TrialState, Event, TrialState, Any]) -> None:
    before, event, after, effects = row
    assert advance(before, event) == (after, effects)


def test_effects_that_failed_are_due_again() -> None:
    """The store went away: the event that says that they are done did not come."""
    event = read(START, FIRST, SECOND, FINISHED)
    once, effects = advance(LOGGED, event)
    assert advance(once, event) == (once, effects)


def test_only_a_trial_that_finished_has_a_score_that_counts() -> None:
    assert [replace(DONE, outcome=outcome).score for outcome in ("finished", "stopped", "diverged", None)] == [  # type: ignore[arg-type]  # each is one
        0.5,
        None,
        None,
        None,
    ]


def test_an_attempt_ends_with_the_last_thing_heard_of_it() -> None:
    lines = [START, FIRST, SECOND, SpooledStart("n2", 900), SpooledEnd("finished", 950, {}, "")]
    assert attempts_of(lines) == [Attempt("n1", 10, 30), Attempt("n2", 900, 950)]
    assert attempts_of(lines[:1]) == [Attempt("n1", 10, None)]
    assert attempts_of([FIRST]) == []
    assert attempts_of([FIRST, START, SECOND]) == [Attempt("n1", 10, 30)], "it goes on in a spool that lost its start"


def test_tag_holds_the_latest_attempts_within_what_mlflow_takes() -> None:
    many = [Attempt("a-node-with-a-long-name.cluster.local · GPU 0 + 1", 10**12, 10**12)] * 500
    text = attempts_as_text(many)
    assert len(json.loads(text)) == MAX_ATTEMPTS
    assert len(text) < 5_000


def test_curve_of_a_long_trial_fits_a_tag_and_keeps_its_ends() -> None:
    epochs = [SpooledEpoch(epoch, 0, {"val/score": epoch / 7_000}) for epoch in range(1, 7_001)]
    text = curve_as_text([START, *epochs, FINISHED])
    points = json.loads(text)
    assert (points[0], points[-1], len(points)) == ([1, round(1 / 7_000, 5)], [7_000, 1.0], MAX_POINTS)
    assert len(text) < 1_500


def test_refit_that_scores_no_validation_has_an_empty_curve() -> None:
    assert curve_as_text([SpooledEpoch(1, 0, {"train/loss_target": 0.5})]) == "[]"
