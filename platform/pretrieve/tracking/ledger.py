"""The ledger: which trials are finished, and everything that is told of them, delivered to MLflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException

from pretrieve.errors import LedgerError
from pretrieve.full_disk import has_no_room, when_there_is_room
from pretrieve.tracking import schema
from pretrieve.tracking.address import without_password
from pretrieve.tracking.begun_trial import BegunTrial, kept_trials
from pretrieve.tracking.delivery import Delivery
from pretrieve.tracking.interruptions import FailureKind
from pretrieve.tracking.run_pages import uncollected
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import (
    RESULTS,
    Outcome,
    Spool,
    SpooledEnd,
    SpooledEpoch,
    SpooledStart,
    SpoolLine,
    latest_end,
    read_spool,
)
from pretrieve.training.settings import Hyperparameters
from pretrieve.training.trial_spec import TrialSpec

DELIVERY_INTERVAL_S = 1.0
PATIENCE_S = 600.0
"""How long a store that does not answer is waited for where the study cannot go on without it."""
RETRY_INTERVAL_S = 2.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class FinishedTrial:
    """A trial or refit whose key never runs again.

    Attributes:
      key: hash of everything that decides its result.
      outcome: `finished`, `diverged` or `stopped`.
      score: validation score of a trial, test score of a refit, in [0, 1]; None unless it finished.
      seconds: what it took.
    """

    key: str
    outcome: Outcome
    score: float | None
    seconds: float


@dataclass(frozen=True)
class TrialEnd:
    """How an attempt at a trial ended, as its spool tells.

    Attributes:
      outcome: None where it ended without a word.
      score: the latest it told, in [0, 1]; None where it told none.
      failure: what kind of failure, where it failed.
    """

    outcome: Outcome | None
    score: float | None
    failure: FailureKind | None = None


class Ledger:
    """The record of one study.

    Trials write spools; the ledger reads them and writes MLflow, in batches, from one process. What is finished it
    knows from MLflow and from the spools, so a store that is away holds up no trial.

    Args:
      tracking_uri: MLflow's store.
      study: the experiment's name.
      folder: the study's folder; holds the spools and, for SQLite, the artifacts.
      owns_artifacts: whether artifacts lie in the study's folder; a tracking server keeps its own.
      stopped_is_done: whether a trial that a search stopped early has its result; else it is to be trained to its end.

    Raises:
      MlflowException: the store does not answer.
    """

    def __init__(
        self, *, tracking_uri: str, study: str, folder: Path, owns_artifacts: bool, stopped_is_done: bool = False
    ) -> None:
        artifact_root = folder / "artifacts" if owns_artifacts else None
        self.tree = RunTree(tracking_uri=tracking_uri, experiment=study, artifact_root=artifact_root)
        self.spool_folder = folder / "spool"
        self.notice: Callable[[str], None] = logger.warning
        self._results = RESULTS if stopped_is_done else RESULTS - {"stopped"}
        self._lock = threading.Lock()
        self._finished: dict[str, FinishedTrial] = {}
        self._is_away = False
        self._is_full = False
        self.study_run_id = self._open_study(study)
        self._delivery = Delivery(self.tree, self.spool_folder, self.study_run_id, self._note_result)
        with uncollected():
            self._take_over()
        self._delivery.send()

    def _open_study(self, study: str) -> str:
        existing = self.tree.runs(schema.KIND_STUDY)
        self.status_before = str(existing[0].info.status) if existing else "FAILED"
        if existing:
            run_id = str(existing[0].info.run_id)
            self.tree.reopen(run_id)
            return run_id
        return self.tree.create(study, kind=schema.KIND_STUDY, parent=None, tags={})

    def _take_over(self) -> None:
        """Learn what earlier drivers left: in MLflow, and in the folder where they could not deliver it."""
        trials = [run for kind in (schema.KIND_TRIAL, schema.KIND_REFIT) for run in self.tree.runs(kind)]
        self._delivery.know_runs(trials, self.tree.runs(schema.KIND_CELL), self._results)
        for run in trials:
            # The outcome decides, not the run's status: a status can be set by anyone who opens the run.
            if run.data.tags.get(schema.TAG_OUTCOME) in self._results:
                self._finished[run.data.tags[schema.TAG_KEY]] = _from_run(run)
        for begun in kept_trials(self.spool_folder):
            key = begun.spec.key
            if key in self._finished:
                BegunTrial.forget(self.spool_folder, key)  # delivered, and its driver killed before it was put away
            elif self.end_of(key).outcome in RESULTS:
                self._delivery.begin(begun)
            else:
                self._delivery.recall(begun)

    @property
    def told(self) -> frozenset[str]:
        """Keys of the trials of which this ledger sent something."""
        return frozenset(self._delivery.told)

    @property
    def finished(self) -> Mapping[str, FinishedTrial]:
        """Finished trials and refits by key, delivered or not."""
        with self._lock:
            return dict(self._finished)

    def spool_path(self, key: str) -> Path:
        """Return the file that the trial of this key writes."""
        return self.spool_folder / f"{key}.jsonl"

    def cell(self, target: str, method: str) -> str:
        """Return the run of a cell, made at its first use."""
        return self._delivery.cell(target, method)

    def begin(self, spec: TrialSpec, parameters: Mapping[str, Any]) -> None:
        """Note that a trial starts; its run is opened with the next delivery, its own one where it was begun before."""
        begun = BegunTrial(spec, dict(parameters))
        when_there_is_room(lambda: begun.keep(self.spool_folder), self.tell_full)
        self._delivery.keep(spec.key)
        self._delivery.begin(begun)

    @contextmanager
    def keeping(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep, within the block, the spools of trials that are to start in it.

        The end of one may come before its start: from a process that a lost driver left behind.
        """
        kept = list(keys)
        for key in kept:
            self._delivery.keep(key)
        try:
            yield
        finally:
            for key in kept:
                self._delivery.let_go(key)

    def let_go(self, key: str) -> None:
        """Note that no process trains a trial any more, nor will one take the place of its last."""
        self._delivery.let_go(key)

    def run_id(self, key: str) -> str:
        """Return the run of a trial.

        Raises:
          KeyError: it has none yet.
        """
        return self._delivery.run_id(key)

    def end_of(self, key: str) -> TrialEnd:
        """Tell how a trial that just ended did, and count it as finished from now on if it is."""
        with self._lock:
            known = self._finished.get(key)
        lines = [] if known else read_spool(self.spool_path(key))
        if not lines:
            known = known or self.finished.get(key)  # delivered in between
            return TrialEnd(known.outcome, known.score) if known else TrialEnd(None, None)
        end = latest_end(lines)
        if end is not None and end.outcome in RESULTS:
            self._note_result(key, lines)
        return TrialEnd(end.outcome if end else None, _score(lines), end.failure if end else None)

    def _note_result(self, key: str, lines: list[SpoolLine]) -> None:
        end = lines[-1]
        assert isinstance(end, SpooledEnd)
        if end.outcome not in self._results:
            return
        score = _score(lines) if end.outcome == "finished" else None
        with self._lock:
            self._finished[key] = FinishedTrial(key, end.outcome, score, end.metrics.get(schema.SECONDS, 0.0))

    def reopen(self, key: str) -> None:
        """Take back that a stopped trial is done: it is to be trained to its end after all, in its own run.

        Raises:
          LedgerError: MLflow, which must have its first end before its second, does not answer for `PATIENCE_S`.
        """
        self._delivery.let_go(key)
        self.persist(self.deliver)
        with self._lock:
            assert self._finished[key].outcome == "stopped", "what reached its end is done"
            del self._finished[key]

    def scores(self, key: str) -> list[tuple[int, float]]:
        """Return (epoch, validation score) of all epochs that a trial has told, in order; empty where it told none.

        Raises:
          LedgerError: MLflow has them, and does not answer for `PATIENCE_S`.
        """
        lines = read_spool(self.spool_path(key))
        epochs = [line for line in lines if isinstance(line, SpooledEpoch) and schema.VAL_SCORE in line.metrics]
        told = {line.epoch: line.metrics[schema.VAL_SCORE] for line in epochs}
        if not told and self._delivery.has_run(key):
            run_id = self._delivery.run_id(key)
            history = self.persist(lambda: self.tree.client.get_metric_history(run_id, schema.VAL_SCORE))
            told = {figure.step: figure.value for figure in history}
        return sorted(told.items())

    def points(self) -> dict[tuple[str, str], dict[str, Hyperparameters]]:
        """Read the hyperparameters of all trials that were begun: by cell, then by key.

        Raises:
          LedgerError: MLflow does not answer for `PATIENCE_S`.
        """
        found: dict[tuple[str, str], dict[str, Hyperparameters]] = {}
        for run in self.persist(lambda: self.tree.runs(schema.KIND_TRIAL)):
            tags, params = run.data.tags, run.data.params
            told = {name: params[name] for name in Hyperparameters.model_fields if name in params}
            if "lr" in told:  # of a run whose driver was killed before it told its parameters the folder keeps them
                cell = found.setdefault((tags[schema.TAG_TARGET], tags[schema.TAG_METHOD]), {})
                cell[tags[schema.TAG_KEY]] = Hyperparameters.model_validate_strings(told)
        for begun in kept_trials(self.spool_folder):
            if begun.spec.kind == schema.KIND_TRIAL:
                cell = found.setdefault((begun.spec.target, begun.spec.method), {})
                cell[begun.spec.key] = begun.spec.hyperparameters
        return found

    def fail(self, key: str, message: str, failure: FailureKind) -> None:
        """Record that a trial is given up, so that its run does not stay open."""
        spool = Spool(self.spool_path(key))
        when_there_is_room(lambda: spool.write_end("failed", {}, message, failure=failure), self.tell_full)

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
            self._tell_away(error)
        else:
            self._tell_back()

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
                self._tell_away(error)
                if has_no_room(self.spool_folder):
                    give_up_at = time.monotonic() + PATIENCE_S  # it is not the store that is away
                if time.monotonic() > give_up_at:
                    waiting = len(list(self.spool_folder.glob("*.jsonl")))
                    raise LedgerError(
                        f"MLflow's store must answer, but did not for {PATIENCE_S:.0f} s: "
                        f"{without_password(str(error))}; what {waiting} trials told waits in "
                        f"{self.spool_folder}: once the store answers, `pretrieve deliver` with the same study file "
                        "sends it, and running the study again finishes it"
                    ) from None  # MLflow's own words may hold the address with its password
                time.sleep(RETRY_INTERVAL_S)
            else:
                self._tell_back()
                return done

    def _tell_away(self, error: Exception) -> None:
        if not self._is_away:
            said = without_password(str(error))
            self.notice(f"MLflow does not take the metrics now; they wait in {self.spool_folder}: {said}")
        self._is_away = True

    def _tell_back(self) -> None:
        if self._is_away:
            self.notice("MLflow answers again")
        self._is_away = False

    def tell_full(self) -> None:
        """Say, once, that the study waits since its disk is full."""
        if not self._is_full:
            self.notice(
                f"the disk of {self.spool_folder.parent} is full: what cannot be written waits, and nothing is lost; "
                "make room, and the study goes on by itself"
            )
        self._is_full = True

    def tell_room(self) -> None:
        """Say, once, that it goes on after it waited."""
        if self._is_full:
            self.notice("there is room on the disk again, and the study goes on")
        self._is_full = False

    def attach(self, path: Path) -> None:
        """Note that a file of the study itself changed; it is sent with the next delivery. Waits for nobody."""
        self._delivery.attach(path)

    def record_cell(self, target: str, method: str, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Write the summary of a cell and end its run; one that ended with the same summary keeps its end."""

        def record() -> None:
            run_id = self.cell(target, method)
            run = self.tree.client.get_run(run_id)
            if run.info.lifecycle_stage == LifecycleStage.DELETED:
                self._delivery.forget_cell(target, method)
                run_id = self.cell(target, method)
                run = self.tree.client.get_run(run_id)
            is_told = metrics.items() <= run.data.metrics.items() and tags.items() <= run.data.tags.items()
            if is_told and run.info.status == "FINISHED":
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


def _score(lines: Sequence[SpoolLine]) -> float | None:
    told = [line.metrics for line in lines if not isinstance(line, SpooledStart)]
    figures = {name: value for metrics in told for name, value in metrics.items()}
    return figures.get(schema.TEST_SCORE, figures.get(schema.VAL_SCORE))


def _from_run(run: Run) -> FinishedTrial:
    tags, metrics = run.data.tags, run.data.metrics
    outcome: Outcome = next(word for word in RESULTS if word == tags[schema.TAG_OUTCOME])
    is_refit = tags[schema.TAG_KIND] == schema.KIND_REFIT
    score = metrics.get(schema.TEST_SCORE if is_refit else schema.VAL_SCORE)
    return FinishedTrial(
        key=tags[schema.TAG_KEY],
        outcome=outcome,
        score=score if outcome == "finished" else None,
        seconds=metrics.get(schema.SECONDS, 0.0),
    )
