"""The ledger: the record of a study and of the results of its trials, and its delivery to MLflow."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
    ErrorCode,
)

from pretrieve.artifacts.disk_space import has_no_space, write_once_disk_has_space
from pretrieve.components.hyperparameters import read_number
from pretrieve.errors import LedgerError
from pretrieve.interruption import received
from pretrieve.records.predictions import PREDICTIONS
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
    latest_end,
    read_spool,
)
from pretrieve.tracking.trial_state import Note, TrialState, epoch_scores
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import TrialSpec

DELIVERY_INTERVAL_S = 1.0
PATIENCE_S = 600.0
"""How long a study that needs the store waits for its answer."""
RETRY_INTERVAL_S = 2.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


_REFUSALS = {
    ErrorCode.Name(code)
    for code in (INVALID_PARAMETER_VALUE, INVALID_STATE, PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST, UNAUTHENTICATED)
}
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def is_refusal(error: MlflowException | OSError) -> bool:
    """Return whether MLflow's store answered that it will not do something, so that waiting is of no use.

    >>> is_refusal(PermissionError(13, "denied")), is_refusal(ConnectionError("refused"))
    (True, False)
    """
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return error.errno in _LASTING


class Ledger:
    """The record of one study.

    Trials write spools. The ledger reads them and writes to MLflow, in batches, from one process. It knows the finished
    trials from MLflow and from the spools, so no trial waits for a store that does not answer.

    Args:
      tracking_uri: of MLflow's store.
      study: the experiment's name.
      folder: the study's folder, with the spools and, for SQLite, the artifacts.
      owns_artifacts: whether artifacts are in the study's folder; a tracking server keeps its own.
      stopped_is_done: whether a trial that a search stopped early has its result; otherwise it is trained to its end.
      notice: is called with messages for the user.

    Raises:
      MlflowException: the store does not answer.
      UserError: a study of version 0.1 left spools in the folder, or the experiment is another study's.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        study: str,
        folder: Path,
        owns_artifacts: bool,
        stopped_is_done: bool = False,
        notice: Callable[[str], None] = logger.warning,
    ) -> None:
        self.notice: Callable[[str], None] = notice
        self.spool_folder = folder / "spool"
        root = folder / "artifacts" if owns_artifacts else None
        self.tree = RunTree(
            tracking_uri=tracking_uri, experiment=study, artifact_root=root, folder=folder, notice=notice
        )
        self._results = RESULTS if stopped_is_done else RESULTS - {"stopped"}
        self._waits_for: set[str] = set()
        self._files: set[Path] = set()
        self.study_run_id = self._open_study(study)
        self._delivery = Delivery(self.tree, self.spool_folder, self.study_run_id, lambda text: self.notice(text))
        with uncollected():
            self._delivery.take_over(self._results)
        self._delivery.send()

    def _open_study(self, study: str) -> str:
        existing = next(iter(self.tree.runs(schema.KIND_STUDY)), None)
        self.status_before = str(existing.info.status) if existing else "FAILED"
        self.extended_to = int(existing.data.tags.get(schema.TAG_EXTENDED_TO, 0)) if existing else 0
        if existing is None:
            return self.tree.create(study, kind=schema.KIND_STUDY, parent=None, tags={})
        self.tree.reopen(str(existing.info.run_id))
        return str(existing.info.run_id)

    @property
    def sent_keys(self) -> frozenset[str]:
        """Keys of the trials for which this ledger sent anything."""
        return frozenset(state.key for state in self._delivery.trials() if state.has_sent)

    @property
    def finished(self) -> Mapping[str, TrialState]:
        """Trials and refits with a result, by key, delivered or not."""
        return {state.key: state for state in self._delivery.trials() if state.outcome in self._results}

    def spool_path(self, key: str) -> Path:
        return self.spool_folder / f"{key}{SUFFIX}"

    def cell(self, target: str, method: str) -> str:
        """Return the run of a cell, made at its first use."""
        return self._delivery.cell(target, method)

    def begin(self, spec: TrialSpec, parameters: Mapping[str, Any]) -> None:
        """Record that a trial starts; the next delivery opens its run, or opens it again."""
        begun = Begun(spec, dict(parameters))
        spool = DriverSpool(self.spool_path(spec.key))
        write_once_disk_has_space(lambda: spool.write_begun(begun), self.notify_disk_full)
        self._delivery.record(spec.key, Note.SPOOL_KEPT)
        self._delivery.record(spec.key, begun)

    @contextmanager
    def keeping_spools(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep the spools of trials in the block: a process of a lost driver may end a trial before it starts here."""
        kept = list(keys)
        for key in kept:
            self._delivery.record(key, Note.SPOOL_KEPT)
        try:
            yield
        finally:
            for key in kept:
                self.release_spool(key)

    def release_spool(self, key: str) -> None:
        """Record that no process trains the trial any more or will do so."""
        self._delivery.record(key, Note.SPOOL_RELEASED)

    def run_id(self, key: str) -> str:
        """Return the run of a trial; KeyError if it has none yet."""
        run = self._delivery.trial(key).run
        if run is None:
            raise KeyError(key)
        return run.run_id

    def end_of(self, key: str) -> TrialState:
        """Return the state of a trial that just ended, after reading its spool."""
        state = self._delivery.trial(key)
        if state.outcome in self._results:
            return state
        state = self._delivery.read(key)
        if state.outcome is not None or not state.has_lost_lines:
            return state
        self.fail(key, "its spool was damaged: a later run of the study trains it again", "process lost")
        return self._delivery.read(key)

    def failure_message(self, key: str) -> str:
        """Return the last line of the message of a trial that just failed, or an empty text."""
        end = latest_end(read_spool(self.spool_path(key)))
        return end.message.strip().rpartition("\n")[2] if end is not None else ""

    def reopen(self, key: str) -> None:
        """Mark a stopped trial as not done, so that it is trained to its end, in its own run.

        Raises:
          LedgerError: MLflow, which must record the first end before the second, does not answer for `PATIENCE_S`.
        """
        assert self._delivery.trial(key).outcome == "stopped", "what reached its end is done"
        self.release_spool(key)
        self.persist(self.deliver)
        self._delivery.record(key, Note.REOPENED)

    def scores(self, key: str, name: str = schema.VAL_SCORE) -> list[tuple[int, float]]:
        """Return (epoch, score) of all epochs of a trial so far, in order; `name` is that of the metric.

        Raises:
          LedgerError: only MLflow has them, and it does not answer for `PATIENCE_S`.
        """
        scores = dict(epoch_scores(self._delivery.lines(key), name))
        run = self._delivery.trial(key).run
        if not scores and run is not None:
            history = self.persist(partial(self.tree.client.get_metric_history, run.run_id, name))
            scores = {figure.step: figure.value for figure in history}
        return sorted(scores.items())

    def points(self, names: Collection[str]) -> dict[tuple[str, str], dict[str, Hyperparameters]]:
        """Read the hyperparameters of these names of all trials that began: by cell, then by key.

        Raises like `persist`.
        """
        found: dict[tuple[str, str], dict[str, Hyperparameters]] = {}
        for run in self.persist(lambda: self.tree.runs(schema.KIND_TRIAL)):
            tags, params = run.data.tags, run.data.params
            point = {name: read_number(params[name]) for name in names if name in params}
            if "lr" in point:  # else the run has no parameters yet, and its spool has them
                cell = found.setdefault((tags[schema.TAG_TARGET], tags[schema.TAG_METHOD]), {})
                cell[tags[schema.TAG_KEY]] = Hyperparameters(**point)
        specs = [state.begun.spec for state in self._delivery.trials() if state.begun and not state.delivered]
        for spec in sorted(specs, key=lambda spec: spec.key):
            if spec.kind == schema.KIND_TRIAL:
                found.setdefault((spec.target, spec.method), {})[spec.key] = spec.hyperparameters
        return found

    def fail(self, key: str, message: str, failure: FailureKind) -> None:
        """Record that a trial failed for good, so that its run does not stay open."""
        spool = Spool(self.spool_path(key))
        write_once_disk_has_space(
            lambda: spool.write_end("failed", {}, message, failure=failure), self.notify_disk_full
        )

    def end_open(self) -> None:
        """End the runs that are still open when no trial of the study runs; raises like `persist`.

        Unfinished trials, and those that left the plan after their driver was killed, end as KILLED; the next attempt,
        if any, opens them again. Runs with a result that somebody opened end as FINISHED, cells without one as FAILED.
        """
        self.persist(lambda: self.tree.remove_twins(self._delivery.run_ids()))
        statuses = {schema.KIND_TRIAL: "KILLED", schema.KIND_REFIT: "KILLED", schema.KIND_CELL: "FAILED"}
        for kind, status in statuses.items():
            for run in self.persist(partial(self.tree.runs, kind, status="RUNNING")):
                has_result = run.data.tags.get(schema.TAG_OUTCOME) in RESULTS
                self.persist(partial(self.tree.end, str(run.info.run_id), "FINISHED" if has_result else status))

    def deliver(self) -> None:
        """Send the contents of the spools that MLflow lacks.

        Raises:
          MlflowException: the store does not answer; nothing is lost, the next call sends it.
        """
        self._delivery.send()
        for path in tuple(self._files):
            self._files.discard(path)  # before it is sent, because it may change again meanwhile
            try:
                self.tree.client.log_artifact(self.study_run_id, str(path))
            except BaseException:
                self._files.add(path)
                raise

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Deliver in the background while the block runs, and the rest at its end. The block never waits for the store.

        Raises:
          LedgerError: at the end of the block the store does not answer for `PATIENCE_S`; nothing is lost.
        """
        stopped = threading.Event()

        def deliver_until_stopped() -> None:
            while not stopped.wait(DELIVERY_INTERVAL_S):
                self._try_to_deliver()

        thread = threading.Thread(target=deliver_until_stopped, name="ledger-delivery", daemon=True)
        thread.start()
        deliver_rest: Callable[[], None] = self._try_to_deliver  # raises nothing, so that an error of the block is seen
        try:
            yield
            deliver_rest = partial(self.persist, self.deliver)
        finally:
            stopped.set()
            thread.join()
            deliver_rest()

    def _try_to_deliver(self) -> None:
        try:
            self.deliver()
        except Exception as error:  # any error: the metrics are safe in the spools, and the trials go on
            self._notify_store(error)
        else:
            self._notify_store(None)

    def persist(self, action: Callable[[], T]) -> T:
        """Call `action`, which needs the store, again and again while the store does not answer.

        Raises:
          LedgerError: the store does not answer for `PATIENCE_S`, or refuses what it is given, now and later.
        """
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                done = action()
            except (MlflowException, OSError) as error:
                if is_refusal(error):
                    raise LedgerError(
                        f"MLflow's store must take the record of a study, but refuses it: "
                        f"{without_password(str(error))}; mend that, and run the study again, which goes on from here"
                    ) from None  # MLflow's own message may hold the password
                self._notify_store(error)
                if has_no_space(self.spool_folder):
                    give_up_at = time.monotonic() + PATIENCE_S  # a full disk is not the store's silence
                if time.monotonic() > give_up_at:
                    waiting = len(list(self.spool_folder.glob(f"*{SUFFIX}")))
                    raise LedgerError(
                        f"MLflow's store must answer, but did not for {PATIENCE_S:.0f} s: "
                        f"{without_password(str(error))}; what {waiting} trials wrote waits in "
                        f"{self.spool_folder}: once the store answers, `pretrieve deliver` with the same study file "
                        "sends it, and running the study again finishes it"
                    ) from None  # MLflow's own message may hold the password
                time.sleep(RETRY_INTERVAL_S)
            else:
                self._notify_store(None)
                return done

    def _notify_store(self, error: Exception | None) -> None:
        away = f"MLflow does not take the metrics now; they wait in {self.spool_folder}: {without_password(str(error))}"
        self._notify("store", away if error else None, "MLflow answers again")

    def notify_disk_full(self) -> None:
        """Notify once that the study waits because its disk is full."""
        full = f"the disk of {self.spool_folder.parent} is full: what cannot be written waits, and nothing is lost"
        self._notify("disk", f"{full}; free disk space, and the study goes on by itself")

    def notify_disk_has_space(self) -> None:
        """Notify once that the study goes on after a wait."""
        self._notify("disk", None, "the disk has space again, and the study goes on")

    def _notify(self, awaited: str, waits: str | None, goes_on: str = "") -> None:
        """Send the message `waits` when a wait begins, and `goes_on` when it ends."""
        if waits and awaited not in self._waits_for:
            self._waits_for.add(awaited)
            self.notice(waits)
        elif not waits and awaited in self._waits_for:
            self._waits_for.discard(awaited)
            self.notice(goes_on)

    def attach(self, path: Path) -> None:
        """Send a changed file of the study itself with the next delivery."""
        self._files.add(path)

    def record_cell(self, target: str, method: str, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Write the summary of a cell and end its run; a run that ended with the same summary stays as it is."""

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

    def recorded_predictions(self) -> dict[str, str]:
        """Return the digest of the predictions in each refit's run, by the id of the run; raises like `persist`."""
        runs = self.persist(lambda: self.tree.runs(schema.KIND_REFIT))
        tags = {str(run.info.run_id): run.data.tags.get(schema.TAG_PREDICTIONS) for run in runs}
        return {run_id: digest for run_id, digest in tags.items() if digest is not None}

    def record_predictions(self, key: str, path: Path, digest: str) -> None:
        """Log the file of a refit's predictions to its run, and then its digest as a tag; raises like `persist`."""

        def record() -> None:
            run_id = self.run_id(key)
            self.tree.client.log_artifact(run_id, str(path), PREDICTIONS)
            # Last, so that a run with the tag has the file.
            self.tree.log(run_id, tags={schema.TAG_PREDICTIONS: digest})

        self.persist(record)

    def study_tags(self) -> Mapping[str, str]:
        """Read the tags of the study's own run; raises like `persist`."""
        tags: Mapping[str, str] = self.persist(lambda: self.tree.client.get_run(self.study_run_id).data.tags)
        return tags

    def study_metrics(self) -> Mapping[str, float]:
        """Read the metrics of the study's own run; raises like `persist`."""
        metrics: Mapping[str, float] = self.persist(lambda: self.tree.client.get_run(self.study_run_id).data.metrics)
        return metrics

    def earlier_seconds(self) -> float:
        """Add up the stage times of the study's earlier runs, in seconds; raises like `persist`."""
        named = self.study_metrics().items()
        return sum(value for name, value in named if name.startswith(schema.STAGE_SECONDS_PREFIX))

    def record_study(
        self, *, metrics: Mapping[str, float], tags: Mapping[str, str], artifacts: Sequence[tuple[Path, str | None]]
    ) -> None:
        """Write metrics, tags and files (with their artifact folder) of the study itself."""

        def record() -> None:
            self.tree.log(self.study_run_id, metrics=metrics, tags=tags)
            for path, folder in artifacts:
                self.tree.client.log_artifact(self.study_run_id, str(path), folder)

        self.persist(record)

    def write_notes(self, notes: Mapping[str, str], *, experiment: str, runs_view: str) -> None:
        """Write the notes in markdown of runs and of the experiment, and the view of the runs that MLflow links to."""

        def write() -> None:
            for run_id, note in notes.items():
                self.tree.log(run_id, tags={schema.TAG_NOTE: note})
            for tag, text in ((schema.TAG_NOTE, experiment), (schema.TAG_RUNS_VIEW, runs_view)):
                self.tree.client.set_experiment_tag(self.tree.experiment_id, tag, text)

        self.persist(write)

    def failing_on_error(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """End all open runs if a block ends in an error; an exit callback that lets the error pass."""
        if error is not None:
            self.end_all("FAILED" if isinstance(error, Exception) and received() is None else "KILLED")
        return False

    def end_all(self, status: str = "KILLED") -> None:
        """End the study and its cells with a status, what it trained as KILLED until it goes on; raise nothing."""
        try:
            self.tree.end(self.study_run_id, status)
            for kind in (schema.KIND_TRIAL, schema.KIND_REFIT, schema.KIND_CELL):
                for run in self.tree.runs(kind, status="RUNNING"):
                    has_result = run.data.tags.get(schema.TAG_OUTCOME) in RESULTS
                    ended = "FINISHED" if has_result else status if kind == schema.KIND_CELL else "KILLED"
                    self.tree.end(str(run.info.run_id), ended)
        except (MlflowException, OSError) as error:
            logger.warning("MLflow does not take the end of the study: %s", without_password(str(error)))

    def end_study(self, status: str) -> None:
        """End the study's run as FINISHED or FAILED."""
        self.persist(lambda: self.tree.end(self.study_run_id, status))
