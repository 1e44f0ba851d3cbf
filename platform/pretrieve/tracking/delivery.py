"""Sending to MLflow what trials left in the study's folder: in order, each figure once, however often it is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, INVALID_STATE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from pretrieve.tracking import schema
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import (
    DRIVER_SUFFIX,
    SUFFIX,
    Begun,
    DamagedSpoolError,
    DriverSpool,
    Outcome,
    SpooledEpoch,
    SpoolLine,
    latest_end,
    read_spool,
    refuse_older_spools,
    set_aside,
)
from pretrieve.tracking.trial_state import (
    BegunEarlier,
    Delivered,
    Effect,
    EndRun,
    Event,
    FindRun,
    Log,
    MakeRun,
    RemoveSpool,
    ReopenRun,
    RunDeleted,
    RunFound,
    RunListed,
    RunMade,
    RunOpened,
    SendingBegins,
    SpoolLost,
    SpoolRead,
    TrialState,
    advance,
    attempts_from_text,
)

RUN_IS_GONE = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_STATE, INVALID_PARAMETER_VALUE)}
"""What MLflow says where somebody deleted a run."""

_NOTES = {
    schema.KIND_TRIAL: "Trial of {method} on {target}: trained on train, scored on val after each epoch.",
    schema.KIND_REFIT: "Refit of {method} on {target}: the chosen configuration trained on train + val, tested once.",
}


class Delivery:
    """Feeds what spools and MLflow say to the states of the trials, and carries out the effects.

    What was sent twice (after a kill between sending and noting it) is stored once, as every figure carries its time.

    Args:
      tree: the study's runs.
      folder: holds the spools.
      study_run_id: of the study's own run.
      notice: hears of what a user should know.
    """

    def __init__(self, tree: RunTree, folder: Path, study_run_id: str, notice: Callable[[str], None]) -> None:
        self._tree = tree
        self._folder = folder
        self._study_run_id = study_run_id
        self._notice = notice
        self._changing = threading.Lock()
        # One at a time: a store that does not answer holds whoever sends for many seconds.
        self._sending = threading.RLock()
        self._trials: dict[str, TrialState] = {}
        self._cells: dict[tuple[str, str], str] = {}
        self._unanswered: set[str] = set()
        self._files: set[Path] = set()

    def take_over(self, results: Collection[Outcome]) -> None:
        """Learn what earlier drivers left: in MLflow, and in the folder where they could not send it.

        Args:
          results: ends after which a trial does not run again.

        Raises:
          MlflowException: the store does not answer.
          UserError: a study of version 0.1 left spools.
        """
        refuse_older_spools(self._folder)
        for run in [run for kind in (schema.KIND_TRIAL, schema.KIND_REFIT) for run in self._tree.runs(kind)]:
            self._feed(run.data.tags[schema.TAG_KEY], self._listed(run, results))
        for run in self._tree.runs(schema.KIND_CELL):
            self._cells[run.data.tags[schema.TAG_TARGET], run.data.tags[schema.TAG_METHOD]] = str(run.info.run_id)
        for path in sorted(self._folder.glob(f"*{DRIVER_SUFFIX}")):
            self.read(path.stem)
            self._feed(path.stem, BegunEarlier(DriverSpool(path).begun()))

    def _listed(self, run: Run, results: Collection[Outcome]) -> RunListed:
        tags, metrics = run.data.tags, run.data.metrics
        # The outcome decides, not the run's status: a status can be set by anyone who opens the run.
        outcome = next((word for word in results if word == tags.get(schema.TAG_OUTCOME)), None)
        is_ended, end_ms = run.info.status == "FINISHED", run.info.end_time
        if outcome and not is_ended:
            end = latest_end(self.lines(tags[schema.TAG_KEY]))
            end_ms = end.time_ms if end else end_ms
        return RunListed(
            run_id=str(run.info.run_id),
            params=frozenset(run.data.params),
            outcome=outcome,
            last_score=metrics.get(
                schema.TEST_SCORE if tags[schema.TAG_KIND] == schema.KIND_REFIT else schema.VAL_SCORE
            ),
            seconds=metrics.get(schema.SECONDS, 0.0),
            is_ended=is_ended,
            end_ms=end_ms,
        )

    def trials(self) -> list[TrialState]:
        """Return the trials that are known, delivered or not."""
        with self._changing:
            return list(self._trials.values())

    def trial(self, key: str) -> TrialState:
        """Return what is known of a trial."""
        return self._trials.get(key) or TrialState(key)

    def record(self, key: str, event: Event) -> tuple[Effect, ...]:
        """Take in an event, and return what is to be done. Waits for nobody."""
        with self._changing:
            self._trials[key], effects = advance(self.trial(key), event)
        return effects

    def read(self, key: str) -> TrialState:
        """Take in what a trial's spool says, send nothing, and return what is known of the trial."""
        self.record(key, SpoolRead(self.lines(key)))
        return self.trial(key)

    def lines(self, key: str) -> tuple[SpoolLine, ...]:
        """Read a trial's spool; one that is damaged is set aside, and then there is none."""
        try:
            return tuple(read_spool(self._spool_path(key)))
        except DamagedSpoolError as error:
            set_aside(error, self._notice)
            self.record(key, SpoolLost())
            return ()

    def attach(self, path: Path) -> None:
        """Note that a file of the study itself changed; it is sent with the next delivery. Waits for nobody."""
        self._files.add(path)

    def cell(self, target: str, method: str) -> str:
        """Return the run of a cell, made at its first use."""
        with self._sending:
            if (target, method) not in self._cells:
                note = f"All trials and refits of {method} on {target}; what they come to is written here at the end."
                tags = {schema.TAG_TARGET: target, schema.TAG_METHOD: method, schema.TAG_NOTE: note}
                self._cells[target, method] = self._made_once(
                    f"{target} · {method}", kind=schema.KIND_CELL, parent=self._study_run_id, tags=tags
                )
            return self._cells[target, method]

    def forget_cell(self, target: str, method: str) -> None:
        """Let a cell whose run somebody deleted have another one."""
        with self._sending:
            self._cells.pop((target, method), None)

    def send(self) -> None:
        """Send what is there and was not sent.

        Raises:
          MlflowException: the store does not answer; nothing is lost, the next call sends it.
        """
        with self._sending:
            spooled = {path.stem for path in self._folder.glob(f"*{SUFFIX}")}
            due = [state for state in self.trials() if state.must_open or state.key in spooled]
            for state in sorted(due, key=lambda state: state.key):
                self._feed(state.key, SendingBegins())
                if state.must_open:
                    self._feed(state.key, RunOpened())
                if state.key in spooled:
                    self._send_spool(state.key)
            while self._files:
                path = self._files.pop()
                try:
                    self._tree.log_artifact(self._study_run_id, path)
                except BaseException:
                    self._files.add(path)
                    raise

    def _send_spool(self, key: str) -> None:
        state = self.trial(key)
        if not state.delivered and not state.is_open:
            return
        lines = () if state.delivered else self.lines(key)
        ends = latest_end(lines) is not None
        read = SpoolRead(lines, tuple(DriverSpool(self._spool_path(key)).interruptions()) if ends else ())
        try:
            self._feed(key, read)
        except MlflowException as error:
            if error.error_code not in RUN_IS_GONE or state.run is None:
                raise
            found = self._find_run(key, state.run.run_id)
            if not isinstance(found, RunDeleted):
                raise
            self._feed(key, found)
            self._feed(key, RunOpened())
            self._feed(key, read)
        self._feed(key, Delivered(lines))

    def _feed(self, key: str, event: Event) -> None:
        """Take in an event and carry out its effects, and what follows from them."""
        for effect in self.record(key, event):
            following = self._carry_out(key, effect)
            if following is not None:
                self._feed(key, following)

    def _carry_out(self, key: str, effect: Effect) -> Event | None:
        match effect:
            case MakeRun():
                return RunMade(self._make_run(effect.begun))
            case FindRun():
                return self._find_run(key, effect.run_id)
            case ReopenRun():
                self._tree.reopen(effect.run_id)
            case Log():
                self._tree.log_at(effect.run_id, effect.figures, effect.tags, effect.params)
            case EndRun():
                self._tree.end(effect.run_id, effect.status, time_ms=effect.time_ms)
            case RemoveSpool():
                self._spool_path(key).with_suffix(DRIVER_SUFFIX).unlink(missing_ok=True)
                self._spool_path(key).unlink(missing_ok=True)
        return None

    def _make_run(self, begun: Begun) -> str:
        spec = begun.spec
        tags = {
            schema.TAG_KEY: spec.key,
            schema.TAG_TARGET: spec.target,
            schema.TAG_METHOD: spec.method,
            schema.TAG_NOTE: _NOTES[spec.kind].format(method=spec.method, target=spec.target),
        }
        parent = self.cell(spec.target, spec.method)
        lines = self.lines(spec.key)
        start_ms = lines[0].time_ms if lines else None
        return self._made_once(spec.describe(), kind=spec.kind, parent=parent, tags=tags, start_ms=start_ms)

    def _made_once(
        self, name: str, *, kind: str, parent: str, tags: Mapping[str, str], start_ms: int | None = None
    ) -> str:
        """Make a run, unless an earlier try that seemed to fail made it: a store may do what it does not answer."""
        identity = f"{kind} {sorted(tags.items())}"
        if identity in self._unanswered:
            found = self._tree.find(kind, tags)
            if found is not None:
                return found
        self._unanswered.add(identity)
        made = self._tree.create(name, kind=kind, parent=parent, tags=tags, start_ms=start_ms)
        self._unanswered.discard(identity)
        return made

    def _find_run(self, key: str, run_id: str) -> RunFound | RunDeleted:
        try:
            run = self._tree.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in RUN_IS_GONE:
                raise
            return RunDeleted()
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            return RunDeleted()
        return RunFound(
            status=run.info.status,
            outcome=run.data.tags.get(schema.TAG_OUTCOME, ""),
            params=frozenset(run.data.params),
            attempts=tuple(attempts_from_text(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))),
            last_epoch=self._last_epoch_of_other_spools(key, run),
        )

    def _last_epoch_of_other_spools(self, key: str, run: Run) -> int:
        name = next((name for name in (schema.LOSS_TARGET, schema.VAL_SCORE) if name in run.data.metrics), None)
        if name is None:
            return 0
        told = {(line.epoch, line.time_ms) for line in self.lines(key) if isinstance(line, SpooledEpoch)}
        history = self._tree.client.get_metric_history(run.info.run_id, name)
        return max((each.step for each in history if (each.step, each.timestamp) not in told), default=0)

    def _spool_path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"
