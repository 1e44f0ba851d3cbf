"""Sending the spools of trials to MLflow: in order, and each metric once, no matter how often it is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, INVALID_STATE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from pretrieve.errors import DamagedSpoolError
from pretrieve.tracking import schema
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import (
    DRIVER_SUFFIX,
    SUFFIX,
    DriverSpool,
    Outcome,
    SpooledEpoch,
    SpoolLine,
    latest_end,
    older_version,
    read_spool,
    set_aside,
)
from pretrieve.tracking.trial_state import (
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
    attempts_from_text,
)
from pretrieve.training.trial_spec import TrialSpec

RUN_IS_GONE = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_STATE, INVALID_PARAMETER_VALUE)}
"""MLflow's error codes for a run that somebody deleted."""

_NOTES = {
    schema.KIND_TRIAL: "Trial of {method} on {target}: trained on train, scored on val after each epoch.",
    schema.KIND_REFIT: "Refit of {method} on {target}: the chosen configuration trained on train + val, tested once.",
}


class Delivery:
    """Passes events from the spools in `folder` and from MLflow to the states of the trials; carries out the effects.

    Metrics that are sent twice, after a kill between sending and recording it, are stored once: each has a time.
    `notice` is called with messages for the user.
    """

    def __init__(self, tree: RunTree, folder: Path, study_run_id: str, notice: Callable[[str], None]) -> None:
        self._tree = tree
        self._folder = folder
        self._study_run_id = study_run_id
        self._notice = notice
        self._changing = threading.RLock()
        # A second lock: a store that does not answer blocks the sender for many seconds.
        self._sending = threading.RLock()
        self._trials: dict[str, TrialState] = {}
        self._cells: dict[tuple[str, str], str] = {}
        self._unanswered: set[str] = set()

    def take_over(self, results: Collection[Outcome]) -> None:
        """Read the trials of earlier drivers, from MLflow and from spools that they could not send.

        After an outcome in `results` a trial does not run again. A UserError is raised if version 0.1 left spools.
        """
        if left := sorted([*self._folder.glob("*.begun.json"), *self._folder.glob("*.interruptions")]):
            raise older_version(left[0])
        for run in [run for kind in (schema.KIND_TRIAL, schema.KIND_REFIT) for run in self._tree.runs(kind)]:
            listed = _state_from(run, results)
            # Of several runs with one key, the one with a result counts, else the oldest that holds anything.
            known = self._trials.get(listed.key)
            is_empty = known is None or not (known.delivered or (known.run and known.run.params))
            if listed.delivered or is_empty:
                self._trials[listed.key] = listed if known is None or listed.delivered or run.data.params else known
            if listed.delivered and run.info.status != "FINISHED":
                # Its driver was killed between logging outcome and status, or somebody opened the run again.
                end = latest_end(self.lines(listed.key))
                time_ms = end.time_ms if end else run.info.end_time
                self._tree.end(str(run.info.run_id), "FINISHED", time_ms=time_ms)
        for run in self._tree.runs(schema.KIND_CELL):
            self._cells[run.data.tags[schema.TAG_TARGET], run.data.tags[schema.TAG_METHOD]] = str(run.info.run_id)
        for path in sorted(self._folder.glob(f"*{DRIVER_SUFFIX}")):
            begun = DriverSpool(path).begun()
            if begun is not None:  # else its result cannot be sent, and does not count until the trial begins again
                self.read(path.stem)
            self._feed(path.stem, BegunEarlier(begun))

    def run_ids(self) -> set[str]:
        """Return the ids of the runs of the study, its cells and its trials that are written to."""
        runs = {state.run.run_id for state in self.trials() if state.run is not None}
        return {self._study_run_id, *self._cells.values(), *runs}

    def trials(self) -> list[TrialState]:
        """Return all known trials, delivered or not."""
        with self._changing:
            return list(self._trials.values())

    def trial(self, key: str) -> TrialState:
        return self._trials.get(key) or TrialState(key)

    def record(self, key: str, event: Event) -> tuple[Effect, ...]:
        """Record an event and return the effects to carry out; never waits for the store."""
        with self._changing:
            self._trials[key], effects = advance(self.trial(key), event)
        return effects

    def read(self, key: str) -> TrialState:
        """Read a trial's spool into its state and return the state; sends nothing."""
        self._read(key)
        return self.trial(key)

    def _read(self, key: str) -> tuple[SpoolRead, tuple[Effect, ...]]:
        with self._changing:  # so that two threads record their reads in the order in which they read
            lines = () if self.trial(key).delivered else self.lines(key)
            interruptions = DriverSpool(self._spool_path(key)).interruptions() if latest_end(lines) else []
            read = SpoolRead(lines, tuple(interruptions))
            return read, self.record(key, read)

    def lines(self, key: str) -> tuple[SpoolLine, ...]:
        """Read the lines of a trial's spool; a damaged spool is set aside and has no lines."""
        try:
            return tuple(read_spool(self._spool_path(key)))
        except DamagedSpoolError as error:
            set_aside(error, self._notice)
            self.record(key, Note.SPOOL_LOST)
            return ()

    def cell(self, target: str, method: str, *, anew: bool = False) -> str:
        """Return the run of a cell, made at its first use; with `anew` made again because somebody deleted it."""
        with self._sending:
            if anew or (target, method) not in self._cells:
                note = f"All trials and refits of {method} on {target}; the cell's result is written here at the end."
                tags = {schema.TAG_TARGET: target, schema.TAG_METHOD: method, schema.TAG_NOTE: note}
                name, kind = f"{target} · {method}", schema.KIND_CELL
                self._cells[target, method] = self._made_once(name, kind=kind, parent=self._study_run_id, tags=tags)
            return self._cells[target, method]

    def send(self) -> None:
        """Send everything that was not sent yet.

        Raises:
          MlflowException: the store does not answer; nothing is lost, the next call sends it.
        """
        with self._sending:
            spooled = {path.stem for path in self._folder.glob(f"*{SUFFIX}")}
            due = [state for state in self.trials() if state.must_open or state.key in spooled]
            for state in sorted(due, key=lambda state: state.key):
                self._feed(state.key, Note.SENDING)
                if state.must_open:
                    self._feed(state.key, Note.OPENED)
                if state.key in spooled:
                    self._send_spool(state.key)

    def _send_spool(self, key: str) -> None:
        state = self.trial(key)
        if not state.delivered and not state.is_open:
            return
        read, effects = self._read(key)
        try:
            self._carry_out(key, effects)
        except MlflowException as error:
            if error.error_code not in RUN_IS_GONE or state.run is None:
                raise
            if self._find_run(state.run.run_id, key) is not Note.RUN_DELETED:
                raise
            self._feed(key, Note.RUN_DELETED)
            self._feed(key, Note.OPENED)
            self._feed(key, read)
        self._feed(key, Delivered(read.lines))

    def _feed(self, key: str, event: Event) -> None:
        """Record an event and carry out its effects, and those of the events that follow from them."""
        self._carry_out(key, self.record(key, event))

    def _carry_out(self, key: str, effects: Iterable[Effect]) -> None:
        for effect in effects:
            following = self._do(key, effect)
            if following is not None:
                self._feed(key, following)

    def _do(self, key: str, effect: Effect) -> Event | None:
        state, spool = self.trial(key), self._spool_path(key)
        if effect is Task.MAKE_RUN and state.begun is not None:
            return RunFound(LoggedRun(self._make_run(state.begun.spec)))
        if effect is Task.REMOVE_SPOOL:
            spool.with_suffix(DRIVER_SUFFIX).unlink(missing_ok=True)
            spool.unlink(missing_ok=True)
            return None
        assert state.run is not None, "what is left is done to its run"
        if effect is Task.FIND_RUN:
            return self._find_run(state.run.run_id, key)
        if effect is Task.REOPEN_RUN:
            self._tree.reopen(state.run.run_id)
        elif isinstance(effect, Log):
            self._tree.log_at(state.run.run_id, effect.figures, effect.tags, effect.params)
        elif isinstance(effect, EndRun):
            self._tree.end(state.run.run_id, effect.status, time_ms=effect.time_ms)
        return None

    def _make_run(self, spec: TrialSpec) -> str:
        tags = {
            schema.TAG_KEY: spec.key,
            schema.TAG_TARGET: spec.target,
            schema.TAG_METHOD: spec.method,
            schema.TAG_NOTE: _NOTES[spec.kind].format(method=spec.method, target=spec.target),
        }
        parent = self.cell(spec.target, spec.method)
        start_ms = next((line.time_ms for line in self.lines(spec.key)), None)
        return self._made_once(spec.describe(), kind=spec.kind, parent=parent, tags=tags, start_ms=start_ms)

    def _made_once(
        self, name: str, *, kind: str, parent: str, tags: Mapping[str, str], start_ms: int | None = None
    ) -> str:
        """Make a run, unless an earlier try made it: a store may carry out a request without answering it."""
        identity = f"{kind} {sorted(tags.items())}"
        if identity in self._unanswered:
            found = self._tree.find(kind, tags)
            if found is not None:
                return found
        self._unanswered.add(identity)
        made = self._tree.create(name, kind=kind, parent=parent, tags=tags, start_ms=start_ms)
        self._unanswered.discard(identity)
        return made

    def _find_run(self, run_id: str, key: str) -> RunFound | Note:
        try:
            run = self._tree.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in RUN_IS_GONE:
                raise
            return Note.RUN_DELETED
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            return Note.RUN_DELETED
        tags, params = run.data.tags, frozenset(run.data.params)
        attempts = tuple(attempts_from_text(tags.get(schema.TAG_ATTEMPTS, "[]")))
        held = LoggedRun(run_id, params, attempts, last_epoch=self._last_epoch_of_other_spools(run, key))
        return RunFound(held, run.info.status, tags.get(schema.TAG_OUTCOME, ""))

    def _last_epoch_of_other_spools(self, run: Run, key: str) -> int:
        name = schema.LOSS_TARGET if schema.LOSS_TARGET in run.data.metrics else schema.VAL_SCORE
        if name not in run.data.metrics:
            return 0
        spooled = {(line.epoch, line.time_ms) for line in self.lines(key) if isinstance(line, SpooledEpoch)}
        history = self._tree.client.get_metric_history(run.info.run_id, name)
        return max((each.step for each in history if (each.step, each.timestamp) not in spooled), default=0)

    def _spool_path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"


def _state_from(run: Run, results: Collection[Outcome]) -> TrialState:
    tags, metrics = run.data.tags, run.data.metrics
    # The outcome decides, because anyone who opens the run can set its status.
    outcome = next((word for word in results if word == tags.get(schema.TAG_OUTCOME)), None)
    return TrialState(
        key=tags[schema.TAG_KEY],
        outcome=outcome,
        last_score=metrics.get(schema.TEST_SCORE if tags[schema.TAG_KIND] == schema.KIND_REFIT else schema.VAL_SCORE),
        seconds=metrics.get(schema.SECONDS, 0.0),
        run=LoggedRun(str(run.info.run_id), frozenset(run.data.params), is_read=False),
        delivered=outcome,
    )
