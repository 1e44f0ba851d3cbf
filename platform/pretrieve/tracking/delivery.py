"""Sending to MLflow what trials left in the study's folder: in order, each figure once, however often it is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, INVALID_STATE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from pretrieve.records import Attempt
from pretrieve.tracking import schema
from pretrieve.tracking.attempts import attempts_as_text, attempts_from_text, attempts_of
from pretrieve.tracking.begun_trial import BegunTrial
from pretrieve.tracking.interruptions import InterruptionLog, counts_as_text
from pretrieve.tracking.learning_curve import curve_as_text, last_epoch_of
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import (
    RESULTS,
    Outcome,
    SpooledEnd,
    SpooledEpoch,
    SpooledStart,
    SpoolLine,
    latest_end,
    read_spool,
)

RUN_IS_GONE = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_STATE, INVALID_PARAMETER_VALUE)}
"""What MLflow says where somebody deleted a run."""

_NOTES = {
    schema.KIND_TRIAL: "Trial of {method} on {target}: trained on train, scored on val after each epoch.",
    schema.KIND_REFIT: "Refit of {method} on {target}: the chosen configuration trained on train + val, tested once.",
}


class Delivery:
    """Opens the runs of trials, and sends their spools.

    What was sent twice (after a kill between sending and noting it) is stored once, as every figure carries its time.

    Args:
      tree: the study's runs.
      spool_folder: holds spools, and of each trial whose run is to be opened what it is to say.
      study_run_id: of the study's own run.
      on_result: called with the key and the lines of a trial whose end was sent, before its spool is removed.

    Attributes:
      told: keys of the trials of which something was sent.
    """

    def __init__(
        self,
        tree: RunTree,
        spool_folder: Path,
        study_run_id: str,
        on_result: Callable[[str, list[SpoolLine]], None],
    ) -> None:
        self._tree = tree
        self._folder = spool_folder
        self._study_run_id = study_run_id
        self._on_result = on_result
        # One at a time: a store that does not answer holds whoever sends for many seconds.
        self._sending = threading.RLock()
        self.told: set[str] = set()
        self._run_ids: dict[str, str] = {}
        self._num_sent: dict[str, int] = {}
        self._told_before: dict[str, list[Attempt]] = {}
        self._stopped_epochs: dict[str, int] = {}
        self._files: set[Path] = set()
        self._begun: dict[str, BegunTrial] = {}
        self._to_open: set[str] = set()
        self._maybe_made: set[str] = set()
        self._untold: dict[str, Mapping[str, Any]] = {}
        self._ended: dict[str, str] = {}
        self._params_told: dict[str, set[str]] = {}
        self._under_way: set[str] = set()
        self._cells: dict[tuple[str, str], str] = {}

    def know_runs(self, trials: Iterable[Run], cells: Iterable[Run], results: Container[Outcome | None]) -> None:
        """Take over the runs that MLflow has already; `results` are the ends that need nothing more told."""
        for run in trials:
            key = run.data.tags[schema.TAG_KEY]
            has_result = run.data.tags.get(schema.TAG_OUTCOME) in results
            if key not in self._run_ids or has_result:
                self._run_ids[key] = str(run.info.run_id)
                self._params_told[key] = set(run.data.params)
            if has_result:
                self._ended[key] = run.data.tags[schema.TAG_OUTCOME]
                self._finish(run)
            else:
                self._told_before[key] = attempts_from_text(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))
            if schema.STOPPED_EPOCH in run.data.metrics:
                # A process that was cut off may have told more than the search had seen when it stopped the trial.
                last_told = last_epoch_of(run.data.tags.get(schema.TAG_CURVE, "[]"))
                self._stopped_epochs[key] = max(last_told, int(run.data.metrics[schema.STOPPED_EPOCH]))
        for run in cells:
            self._cells[run.data.tags[schema.TAG_TARGET], run.data.tags[schema.TAG_METHOD]] = str(run.info.run_id)

    def _finish(self, run: Run) -> None:
        """Give a run that has its result the status: its driver was killed in between, or somebody opened it."""
        if run.info.status != "FINISHED":
            end = latest_end(read_spool(self._folder / f"{run.data.tags[schema.TAG_KEY]}.jsonl"))
            time_ms = run.info.end_time if end is None else end.time_ms
            self._tree.end(str(run.info.run_id), "FINISHED", time_ms=time_ms)

    def recall(self, trial: BegunTrial) -> None:
        """Know of a trial that an earlier driver began: what it still tells is sent with its parameters."""
        key = trial.spec.key
        self._begun[key] = trial
        if key in self._run_ids:
            told = self._params_told.get(key, ())
            self._untold[key] = {name: value for name, value in trial.parameters.items() if name not in told}

    def begin(self, trial: BegunTrial) -> None:
        """Note that a trial starts; its run is opened with the next delivery. Waits for nobody."""
        key = trial.spec.key
        if self._ended.get(key) == "stopped":  # it goes to its end after all, in a spool of its own
            del self._ended[key]
            self._num_sent.pop(key, None)
        if key in self._ended:
            return  # a process that was cut off told its end; the one that takes its place reads so, and returns
        self._begun[key] = trial
        self._to_open.add(key)

    def keep(self, key: str) -> None:
        """Leave a trial's spool where it is: a process may yet start that is to read there that the trial has ended."""
        self._under_way.add(key)

    def let_go(self, key: str) -> None:
        """Let a trial's spool be removed once its end was sent: no other process starts."""
        self._under_way.discard(key)

    def attach(self, path: Path) -> None:
        """Note that a file of the study itself changed; it is sent with the next delivery. Waits for nobody."""
        self._files.add(path)

    def has_run(self, key: str) -> bool:
        """Say whether a trial has a run."""
        return key in self._run_ids

    def run_id(self, key: str) -> str:
        """Return the run of a trial.

        Raises:
          KeyError: it has none yet.
        """
        return self._run_ids[key]

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
            for key in sorted(self._to_open):
                if key not in self._ended:  # its end was sent while it was begun again
                    self._open(self._begun[key])
                self._to_open.discard(key)
            for path in sorted(self._folder.glob("*.jsonl")):
                if path.stem in self._ended:
                    self._put_away(path)
                elif path.stem in self._run_ids:
                    self._send_spool(path)
            self._send_files()

    def _send_files(self) -> None:
        while self._files:
            path = self._files.pop()
            try:
                self._tree.log_artifact(self._study_run_id, path)
            except BaseException:
                self._files.add(path)
                raise

    def _open(self, trial: BegunTrial) -> None:
        spec, parameters = trial.spec, dict(trial.parameters)
        run = self._run_to_go_on(spec.key)
        if run is not None:
            self._told_before[spec.key] = attempts_from_text(run.data.tags.get(schema.TAG_ATTEMPTS, "[]"))
            if run.info.status != "RUNNING":
                self._tree.reopen(self._run_ids[spec.key])
            if run.data.tags.get(schema.TAG_OUTCOME) == "stopped":
                # No more: a driver that is killed before the trial's new end must leave it as one that was begun.
                self._tree.log(self._run_ids[spec.key], tags={schema.TAG_OUTCOME: ""})
            # MLflow refuses another value. The key says that the result is the same; where its images come from may be
            # told in other words since, and the words of its first attempt stay.
            parameters = {name: value for name, value in parameters.items() if name not in run.data.params}
        else:
            tags = {
                schema.TAG_KEY: spec.key,
                schema.TAG_TARGET: spec.target,
                schema.TAG_METHOD: spec.method,
                schema.TAG_NOTE: _NOTES[spec.kind].format(method=spec.method, target=spec.target),
            }
            parent = self.cell(spec.target, spec.method)
            lines = read_spool(self._folder / f"{spec.key}.jsonl")
            self._run_ids[spec.key] = self._made_once(
                spec.describe(), kind=spec.kind, parent=parent, tags=tags, start_ms=lines[0].time_ms if lines else None
            )
        self._untold[spec.key] = parameters  # they travel with the trial's first figures

    def _run_to_go_on(self, key: str) -> Run | None:
        """Read the run that a trial has; None where it has none, or none any more since somebody deleted it."""
        if key not in self._run_ids:
            return None
        try:
            run = self._tree.client.get_run(self._run_ids[key])
        except MlflowException as error:
            if error.error_code not in RUN_IS_GONE:
                raise
        else:
            if run.info.lifecycle_stage != LifecycleStage.DELETED:
                return run
        self._forget_run(key)
        return None

    def _forget_run(self, key: str) -> None:
        """Let a trial have another run, opened at the latest with the next delivery, which is told everything."""
        self._to_open.add(key)
        del self._run_ids[key]
        for known in (self._num_sent, self._stopped_epochs, self._told_before):
            known.pop(key, None)

    def _made_once(
        self, name: str, *, kind: str, parent: str, tags: Mapping[str, str], start_ms: int | None = None
    ) -> str:
        """Make a run, unless an earlier try that seemed to fail made it: a store may do what it does not answer."""
        identity = f"{kind} {sorted(tags.items())}"
        if identity in self._maybe_made:
            found = self._tree.find(kind, tags)
            if found is not None:
                return found
        self._maybe_made.add(identity)
        made = self._tree.create(name, kind=kind, parent=parent, tags=tags, start_ms=start_ms)
        self._maybe_made.discard(identity)
        return made

    def _send_spool(self, path: Path) -> None:
        key = path.stem
        try:
            self._send_lines(path, self._run_ids[key])
        except MlflowException as error:
            is_gone = error.error_code in RUN_IS_GONE and key in self._begun and self._run_to_go_on(key) is None
            if not is_gone:
                raise
            self._open(self._begun[key])
            self._to_open.discard(key)
            self._send_lines(path, self._run_ids[key])

    def _send_lines(self, path: Path, run_id: str) -> None:
        lines = read_spool(path)
        new = lines[self._num_sent.get(path.stem, 0) :]
        # A trial that was stopped and is now trained to its end tells its first epochs a second time.
        known = self._stopped_epochs.get(path.stem, 0)
        epochs = [line for line in new if isinstance(line, SpooledEpoch) and line.epoch > known]
        figures = [(name, value, e.time_ms, e.epoch) for e in epochs for name, value in e.metrics.items()]
        last_epoch = max((line.epoch for line in lines if isinstance(line, SpooledEpoch)), default=0)
        tags: dict[str, str] = {}
        if any(isinstance(line, SpooledStart | SpooledEnd) for line in new):
            tags = self._told_of_attempts(path.stem, lines)
        end = latest_end(new)
        if end is not None:
            figures += [(name, value, end.time_ms, last_epoch) for name, value in end.metrics.items()]
            tags |= self._told_of_end(path, lines, end)
            if last_epoch < known:
                del tags[schema.TAG_CURVE]  # the one that is there tells more
        self._tree.log_at(run_id, figures, tags, self._untold.get(path.stem))
        self._untold.pop(path.stem, None)
        if end is not None:
            self._end(path, run_id, lines, end, last_epoch)
        self._num_sent[path.stem] = len(lines)
        if new:
            self.told.add(path.stem)

    def _told_of_end(self, path: Path, lines: list[SpoolLine], end: SpooledEnd) -> dict[str, str]:
        # The message also where there is none: that of an attempt before would stay.
        return {
            schema.TAG_OUTCOME: end.outcome,
            schema.TAG_MESSAGE: end.message[-5_000:],  # the error stands last in a traceback
            schema.TAG_FAILURE: end.failure or "",
            schema.TAG_INTERRUPTIONS: counts_as_text(InterruptionLog(path).read()),
            schema.TAG_CURVE: curve_as_text(lines),
        }

    def _end(self, path: Path, run_id: str, lines: list[SpoolLine], end: SpooledEnd, last_epoch: int) -> None:
        if end.outcome not in RESULTS:
            self._tree.end(run_id, "FAILED", time_ms=end.time_ms)
            return  # its spool stays: the next attempt goes on in it, and repeats no epoch
        if end.outcome == "stopped":
            self._stopped_epochs[path.stem] = last_epoch
        self._tree.end(run_id, "FINISHED", time_ms=end.time_ms)
        self._on_result(path.stem, lines)
        self._ended[path.stem] = end.outcome
        self._put_away(path)

    def _told_of_attempts(self, key: str, lines: Iterable[SpoolLine]) -> dict[str, str]:
        """Tell the attempts of a trial, also those whose spool is gone since it was stopped and goes on."""
        attempts = attempts_of(lines)
        if not attempts:
            return {}
        earlier = [each for each in self._told_before.get(key, []) if each.start_ms < attempts[0].start_ms]
        return {schema.TAG_ATTEMPTS: attempts_as_text(earlier + attempts)}

    def _put_away(self, path: Path) -> None:
        """Remove the spool of a trial whose end was sent, also one that a process made anew that was cut off."""
        if path.stem in self._under_way:
            return
        InterruptionLog(path).remove()
        BegunTrial.forget(self._folder, path.stem)
        path.unlink(missing_ok=True)
