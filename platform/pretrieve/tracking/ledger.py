"""The ledger: the record of a study, which trials have their result, and the delivery of both to MLflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from pretrieve.artifacts.full_disk import has_no_room, when_there_is_room
from pretrieve.errors import LedgerError
from pretrieve.tracking import schema
from pretrieve.tracking.address import uncollected, without_password
from pretrieve.tracking.delivery import Delivery
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import (
    RESULTS,
    SUFFIX,
    Begun,
    DriverSpool,
    FailureKind,
    Spool,
    SpooledEpoch,
    latest_end,
    read_spool,
)
from pretrieve.tracking.trial_state import Note, TrialState
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import TrialSpec

DELIVERY_INTERVAL_S = 1.0
PATIENCE_S = 600.0
"""How long a store that does not answer is waited for where the study cannot go on without it."""
RETRY_INTERVAL_S = 2.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Ledger:
    """The record of one study.

    Trials write spools; the ledger reads them and writes MLflow, in batches, from one process. It knows from MLflow and
    from the spools what is finished, so a store that is away holds up no trial.

    Args:
      tracking_uri: MLflow's store.
      study: the experiment's name.
      folder: the study's folder; holds the spools and, for SQLite, the artifacts.
      owns_artifacts: whether artifacts lie in the study's folder; a tracking server keeps its own.
      stopped_is_done: whether a trial that a search stopped early has its result; else it is to be trained to its end.

    Raises:
      MlflowException: the store does not answer.
      UserError: a study of version 0.1 left spools in the folder.
    """

    def __init__(
        self, *, tracking_uri: str, study: str, folder: Path, owns_artifacts: bool, stopped_is_done: bool = False
    ) -> None:
        artifact_root = folder / "artifacts" if owns_artifacts else None
        self.tree = RunTree(tracking_uri=tracking_uri, experiment=study, artifact_root=artifact_root)
        self.spool_folder = folder / "spool"
        self.notice: Callable[[str], None] = logger.warning
        self._results = RESULTS if stopped_is_done else RESULTS - {"stopped"}
        self._waits_for: set[str] = set()
        self._files: set[Path] = set()
        self.study_run_id = self._open_study(study)
        self._delivery = Delivery(self.tree, self.spool_folder, self.study_run_id, lambda text: self.notice(text))
        with uncollected():
            self._delivery.take_over(self._results)
        self._delivery.send()

    def _open_study(self, study: str) -> str:
        existing = self.tree.runs(schema.KIND_STUDY)
        self.status_before = str(existing[0].info.status) if existing else "FAILED"
        if existing:
            run_id = str(existing[0].info.run_id)
            self.tree.reopen(run_id)
            return run_id
        return self.tree.create(study, kind=schema.KIND_STUDY, parent=None, tags={})

    @property
    def sent_keys(self) -> frozenset[str]:
        """Keys of the trials of which this ledger sent something."""
        return frozenset(state.key for state in self._delivery.trials() if state.has_sent)

    @property
    def finished(self) -> Mapping[str, TrialState]:
        """Trials and refits that have their result, by key, delivered or not."""
        return {state.key: state for state in self._delivery.trials() if state.outcome in self._results}

    def spool_path(self, key: str) -> Path:
        """Return the file that the trial of this key writes."""
        return self.spool_folder / f"{key}{SUFFIX}"

    def cell(self, target: str, method: str) -> str:
        """Return the run of a cell, made at its first use."""
        return self._delivery.cell(target, method)

    def begin(self, spec: TrialSpec, parameters: Mapping[str, Any]) -> None:
        """Note that a trial starts; its run is opened with the next delivery, its own one where it was begun before."""
        begun = Begun(spec, dict(parameters))
        spool = DriverSpool(self.spool_path(spec.key))
        when_there_is_room(lambda: spool.write_begun(begun), self.notify_disk_full)
        self._delivery.record(spec.key, Note.SPOOL_KEPT)
        self._delivery.record(spec.key, begun)

    @contextmanager
    def keeping_spools(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep, within the block, the spools of trials that are to start in it.

        The end of one may come before its start: from a process that a lost driver left behind.
        """
        kept = list(keys)
        for key in kept:
            self._delivery.record(key, Note.SPOOL_KEPT)
        try:
            yield
        finally:
            for key in kept:
                self.release_spool(key)

    def release_spool(self, key: str) -> None:
        """Note that no process trains a trial any more, nor will one take the place of its last."""
        self._delivery.record(key, Note.SPOOL_RELEASED)

    def run_id(self, key: str) -> str:
        """Return the run of a trial.

        Raises:
          KeyError: it has none yet.
        """
        run = self._delivery.trial(key).run
        if run is None:
            raise KeyError(key)
        return run.run_id

    def end_of(self, key: str) -> TrialState:
        """Say how a trial that just ended did; it counts as finished from now on if it is."""
        state = self._delivery.trial(key)
        if state.outcome in self._results:
            return state
        state = self._delivery.read(key)
        if state.outcome is None and state.has_lost_lines:
            self.fail(key, "its spool was damaged: a later run of the study trains it again", "process lost")
            state = self._delivery.read(key)
        return state

    def failure_message(self, key: str) -> str:
        """Return the last line of what a trial that just failed says of it; empty where it says nothing."""
        end = latest_end(read_spool(self.spool_path(key)))
        lines = end.message.strip().splitlines() if end is not None else []
        return lines[-1] if lines else ""

    def reopen(self, key: str) -> None:
        """Take back that a stopped trial is done: it is to be trained to its end after all, in its own run.

        Raises:
          LedgerError: MLflow, which must have its first end before its second, does not answer for `PATIENCE_S`.
        """
        assert self._delivery.trial(key).outcome == "stopped", "what reached its end is done"
        self.release_spool(key)
        self.persist(self.deliver)
        self._delivery.record(key, Note.REOPENED)

    def scores(self, key: str) -> list[tuple[int, float]]:
        """Return (epoch, validation score) of all epochs of a trial so far, in order.

        Raises:
          LedgerError: MLflow has them, and does not answer for `PATIENCE_S`.
        """
        lines = self._delivery.lines(key)
        epochs = [line for line in lines if isinstance(line, SpooledEpoch) and schema.VAL_SCORE in line.metrics]
        scores = {line.epoch: line.metrics[schema.VAL_SCORE] for line in epochs}
        run = self._delivery.trial(key).run
        if not scores and run is not None:
            run_id = run.run_id
            history = self.persist(lambda: self.tree.client.get_metric_history(run_id, schema.VAL_SCORE))
            scores = {figure.step: figure.value for figure in history}
        return sorted(scores.items())

    def points(self) -> dict[tuple[str, str], dict[str, Hyperparameters]]:
        """Read the hyperparameters of all trials that were begun: by cell, then by key.

        Raises:
          LedgerError: MLflow does not answer for `PATIENCE_S`.
        """
        found: dict[tuple[str, str], dict[str, Hyperparameters]] = {}
        for run in self.persist(lambda: self.tree.runs(schema.KIND_TRIAL)):
            tags, params = run.data.tags, run.data.params
            point = {name: params[name] for name in Hyperparameters.model_fields if name in params}
            if "lr" in point:  # the spools have those of a run that has no parameters yet
                cell = found.setdefault((tags[schema.TAG_TARGET], tags[schema.TAG_METHOD]), {})
                cell[tags[schema.TAG_KEY]] = Hyperparameters.model_validate_strings(point)
        begun = [state.begun for state in self._delivery.trials() if state.begun and not state.delivered]
        for spec in sorted((each.spec for each in begun), key=lambda spec: spec.key):
            if spec.kind == schema.KIND_TRIAL:
                found.setdefault((spec.target, spec.method), {})[spec.key] = spec.hyperparameters
        return found

    def fail(self, key: str, message: str, failure: FailureKind) -> None:
        """Record that a trial is given up, so that its run does not stay open."""
        spool = Spool(self.spool_path(key))
        when_there_is_room(lambda: spool.write_end("failed", {}, message, failure=failure), self.notify_disk_full)

    def end_open(self) -> None:
        """End the runs that are open when nothing of the study runs any more.

        Trials that were stopped half-way, and those whose key left the plan after their driver was killed, end as
        KILLED; the next attempt, if there is one, opens them again. One that has its result, and that somebody opened,
        ends as FINISHED; cells without a result end as FAILED.

        Raises:
          LedgerError: MLflow does not answer for `PATIENCE_S`.
        """
        for kind, status in (
            (schema.KIND_TRIAL, "KILLED"),
            (schema.KIND_REFIT, "KILLED"),
            (schema.KIND_CELL, "FAILED"),
        ):
            for run in self.persist(partial(self.tree.runs, kind, status="RUNNING")):
                has_result = run.data.tags.get(schema.TAG_OUTCOME) in RESULTS
                self.persist(partial(self.tree.end, str(run.info.run_id), "FINISHED" if has_result else status))

    def deliver(self) -> None:
        """Send what the spools hold and MLflow does not.

        Raises:
          MlflowException: the store does not answer; nothing is lost, the next call sends it.
        """
        self._delivery.send()
        for path in tuple(self._files):
            self._files.discard(path)  # before it is sent: it may change again meanwhile
            try:
                self.tree.log_artifact(self.study_run_id, path)
            except BaseException:
                self._files.add(path)
                raise

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Deliver in the background while the block runs, and what is left at its end.

        A store that is away only delays the delivery: nothing in the block waits for it.

        Raises:
          LedgerError: at the end of the block the store does not answer for `PATIENCE_S`; nothing is lost.
        """
        stopped = threading.Event()

        def deliver_until_stopped() -> None:
            while not stopped.wait(DELIVERY_INTERVAL_S):
                self._try_to_deliver()

        thread = threading.Thread(target=deliver_until_stopped, name="ledger-delivery", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            stopped.set()
            thread.join()
            self._try_to_deliver()  # the error that ends the block is the one to be seen
            raise
        stopped.set()
        thread.join()
        self.persist(self.deliver)

    def _try_to_deliver(self) -> None:
        try:
            self.deliver()
        except Exception as error:  # whatever it is, the metrics are safe in the spools and the trials go on
            self._notify_away(error)
        else:
            self._notify_back()

    def persist(self, action: Callable[[], T]) -> T:
        """Do what needs the store, again and again while it does not answer.

        Raises:
          LedgerError: it does not for `PATIENCE_S`.
        """
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                done = action()
            except (MlflowException, OSError) as error:
                self._notify_away(error)
                if has_no_room(self.spool_folder):
                    give_up_at = time.monotonic() + PATIENCE_S  # it is not the store that is away
                if time.monotonic() > give_up_at:
                    waiting = len(list(self.spool_folder.glob(f"*{SUFFIX}")))
                    raise LedgerError(
                        f"MLflow's store must answer, but did not for {PATIENCE_S:.0f} s: "
                        f"{without_password(str(error))}; what {waiting} trials wrote waits in "
                        f"{self.spool_folder}: once the store answers, `pretrieve deliver` with the same study file "
                        "sends it, and running the study again finishes it"
                    ) from None  # MLflow's own words may hold the address with its password
                time.sleep(RETRY_INTERVAL_S)
            else:
                self._notify_back()
                return done

    def _notify_away(self, error: Exception) -> None:
        said = without_password(str(error))
        self._notify("store", True, f"MLflow does not take the metrics now; they wait in {self.spool_folder}: {said}")

    def _notify_back(self) -> None:
        self._notify("store", False, "MLflow answers again")

    def notify_disk_full(self) -> None:
        """Say, once, that the study waits since its disk is full."""
        full = f"the disk of {self.spool_folder.parent} is full: what cannot be written waits, and nothing is lost; "
        self._notify("disk", True, full + "make room, and the study goes on by itself")

    def notify_disk_has_room(self) -> None:
        """Say, once, that it goes on after it waited."""
        self._notify("disk", False, "there is room on the disk again, and the study goes on")

    def _notify(self, what: str, waits: bool, message: str) -> None:
        if waits != (what in self._waits_for):
            self.notice(message)
        (self._waits_for.add if waits else self._waits_for.discard)(what)

    def attach(self, path: Path) -> None:
        """Note that a file of the study itself changed; it is sent with the next delivery. Waits for nobody."""
        self._files.add(path)

    def record_cell(self, target: str, method: str, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Write the summary of a cell and end its run; one that ended with the same summary keeps its end."""

        def record() -> None:
            run_id = self.cell(target, method)
            run = self.tree.client.get_run(run_id)
            if run.info.lifecycle_stage == LifecycleStage.DELETED:
                run_id = self._delivery.cell(target, method, anew=True)
                run = self.tree.client.get_run(run_id)
            is_recorded = metrics.items() <= run.data.metrics.items() and tags.items() <= run.data.tags.items()
            if is_recorded and run.info.status == "FINISHED":
                return
            self.tree.log(run_id, metrics=metrics, tags=tags)
            self.tree.end(run_id, "FINISHED")

        self.persist(record)

    def record_study(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str | None]],
    ) -> None:
        """Write figures, tags and files (with their artifact folder) of the study itself."""

        def record() -> None:
            self.tree.log(self.study_run_id, metrics=metrics, tags=tags)
            for path, folder in artifacts:
                self.tree.log_artifact(self.study_run_id, path, folder)

        self.persist(record)

    def write_notes(self, notes: Mapping[str, str], *, experiment: str, runs_view: str) -> None:
        """Write what MLflow's UI says of runs, by run, and of the experiment (markdown), and its view of the runs."""

        def write() -> None:
            for run_id, note in notes.items():
                self.tree.log(run_id, tags={schema.TAG_NOTE: note})
            self.tree.describe_experiment(experiment, runs_view)

        self.persist(write)

    def failing_on_error(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """End the study's run as FAILED when a block ends in an error; an exit callback that never swallows it."""
        if error is not None:
            try:
                self.tree.end(self.study_run_id, "FAILED")
            except (MlflowException, OSError) as second:
                logger.warning("MLflow does not take the end of the study: %s", without_password(str(second)))
        return False

    def end_study(self, status: str) -> None:
        """End the study's run as FINISHED or FAILED."""
        self.persist(lambda: self.tree.end(self.study_run_id, status))
