"""The ledger: which trials are finished, and everything that is told of them, delivered to MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from pretrieve.errors import LedgerError
from pretrieve.tracking import schema
from pretrieve.tracking.run_tree import RunTree
from pretrieve.tracking.spool import Outcome, Spool, SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.trial_spec import TrialSpec

DELIVERY_INTERVAL_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedTrial:
    """A trial or refit whose key never runs again.

    Attributes:
      key: hash of everything that decides its result.
      run_id: its MLflow run.
      is_refit: whether it was a refit.
      outcome: `finished` or `diverged`.
      score: validation score of a trial, test score of a refit, in [0, 1]; None where it diverged.
      seconds: what it took.
    """

    key: str
    run_id: str
    is_refit: bool
    outcome: Outcome
    score: float | None
    seconds: float


class Ledger:
    """The record of one study.

    Trials write spools; the ledger reads them and writes MLflow, in batches, from one process. What was delivered twice
    (after a kill between delivery and note) is stored once, because every figure carries its own time.

    Args:
      tracking_uri: MLflow's store.
      study: the experiment's name.
      folder: the study's folder; holds the spools and, for SQLite, the artifacts.
      owns_artifacts: whether artifacts lie in the study's folder; a tracking server keeps its own.
    """

    def __init__(self, *, tracking_uri: str, study: str, folder: Path, owns_artifacts: bool) -> None:
        artifact_root = folder / "artifacts" if owns_artifacts else None
        self.tree = RunTree(tracking_uri=tracking_uri, experiment=study, artifact_root=artifact_root)
        self.spool_folder = folder / "spool"
        self._lock = threading.Lock()
        self._run_ids: dict[str, str] = {}
        self._delivered: dict[str, int] = {}
        self._to_open: dict[str, tuple[TrialSpec, dict[str, Any]]] = {}
        self._finished: dict[str, FinishedTrial] = {}
        for kind in (schema.KIND_TRIAL, schema.KIND_REFIT):
            for run in self.tree.runs(kind):
                self._remember(run)
        self._cells = {
            (run.data.tags[schema.TAG_TARGET], run.data.tags[schema.TAG_METHOD]): str(run.info.run_id)
            for run in self.tree.runs(schema.KIND_CELL)
        }
        self.study_run_id = self._open_study(study)
        self.deliver()

    def _open_study(self, study: str) -> str:
        existing = self.tree.runs(schema.KIND_STUDY)
        if existing:
            run_id = str(existing[0].info.run_id)
            self.tree.reopen(run_id)
            return run_id
        return self.tree.create(study, kind=schema.KIND_STUDY, parent=None, tags={})

    def _remember(self, run: Run) -> None:
        key, run_id = run.data.tags[schema.TAG_KEY], str(run.info.run_id)
        self._run_ids[key] = run_id
        # The outcome decides, not the run's status: a status can be set by anyone who opens the run.
        if run.data.tags.get(schema.TAG_OUTCOME) in ("finished", "diverged"):
            self._finished[key] = _finished_trial(run)

    @property
    def finished(self) -> Mapping[str, FinishedTrial]:
        """Finished trials and refits by key, what the spools held at the start included."""
        with self._lock:
            return dict(self._finished)

    def spool_path(self, key: str) -> Path:
        """Return the file that the trial of this key writes."""
        return self.spool_folder / f"{key}.jsonl"

    def cell(self, target: str, method: str) -> str:
        """Return the run of a cell, made at its first use."""
        if (target, method) not in self._cells:
            tags = {schema.TAG_TARGET: target, schema.TAG_METHOD: method}
            self._cells[target, method] = self.tree.create(
                f"{target} · {method}", kind=schema.KIND_CELL, parent=self.study_run_id, tags=tags
            )
        return self._cells[target, method]

    def begin(self, spec: TrialSpec, parameters: Mapping[str, Any]) -> None:
        """Note that a trial starts; its run is opened with the next delivery, its own one where it was begun before."""
        with self._lock:
            self._to_open[spec.key] = (spec, dict(parameters))

    def run_id(self, key: str) -> str:
        """Return the run of a trial.

        Raises:
          KeyError: it has none yet.
        """
        return self._run_ids[key]

    def _open_begun(self) -> None:
        for key, (spec, parameters) in list(self._to_open.items()):
            if key in self._run_ids:
                self.tree.reopen(self._run_ids[key])
                # MLflow refuses another value. The key says that the result is the same; where its images come from may
                # be told in other words since, and the words of its first attempt stay.
                known = self.tree.client.get_run(self._run_ids[key]).data.params
                parameters = {name: value for name, value in parameters.items() if name not in known}
            else:
                tags = {schema.TAG_KEY: key, schema.TAG_TARGET: spec.target, schema.TAG_METHOD: spec.method}
                parent = self.cell(spec.target, spec.method)
                self._run_ids[key] = self.tree.create(spec.describe(), kind=spec.kind, parent=parent, tags=tags)
            self.tree.log(self._run_ids[key], params=parameters)
            del self._to_open[key]

    def spooled_end(self, key: str) -> tuple[Outcome | None, Mapping[str, float]]:
        """Tell how a trial that just ended did, delivered or not; None where it ended without a word."""
        with self._lock:
            if key in self._finished:
                trial = self._finished[key]
                name = schema.TEST_SCORE if trial.is_refit else schema.VAL_SCORE
                return trial.outcome, {} if trial.score is None else {name: trial.score}
            lines = read_spool(self.spool_path(key))
        figures = {name: value for line in lines for name, value in line.metrics.items()}
        ends = [line for line in lines if isinstance(line, SpooledEnd)]
        return (ends[-1].outcome if ends else None), figures

    def fail(self, key: str, message: str) -> None:
        """Record that a trial's process was lost for good, so that its run does not stay open."""
        Spool(self.spool_path(key)).write_end("failed", {}, message)

    def deliver(self) -> None:
        """Send what the spools hold and MLflow does not.

        Raises:
          MlflowException: the store does not answer; nothing is lost, the next call sends it.
        """
        with self._lock:
            self._open_begun()
            for path in sorted(self.spool_folder.glob("*.jsonl")):
                run_id = self._run_ids.get(path.stem)
                if run_id is not None:
                    self._deliver_spool(path, run_id)

    def _deliver_spool(self, path: Path, run_id: str) -> None:
        lines = read_spool(path)
        new = lines[self._delivered.get(path.stem, 0) :]
        epochs = [line for line in new if isinstance(line, SpooledEpoch)]
        figures = [(name, value, e.time_ms, e.epoch) for e in epochs for name, value in e.metrics.items()]
        if figures:
            self.tree.log_at(run_id, figures)
        ends = [line for line in new if isinstance(line, SpooledEnd)]
        if ends:
            last_epoch = max((line.epoch for line in lines if isinstance(line, SpooledEpoch)), default=0)
            self._deliver_end(path, run_id, ends[-1], last_epoch)
        self._delivered[path.stem] = len(lines)

    def _deliver_end(self, path: Path, run_id: str, end: SpooledEnd, last_epoch: int) -> None:
        self.tree.log_at(run_id, [(name, value, end.time_ms, last_epoch) for name, value in end.metrics.items()])
        # The message also where there is none: that of an attempt before would stay.
        self.tree.log(run_id, tags={schema.TAG_OUTCOME: end.outcome, schema.TAG_MESSAGE: end.message[:5_000]})
        if end.outcome == "failed":
            self.tree.end(run_id, "FAILED", time_ms=end.time_ms)
            return  # its spool stays: the next attempt goes on in it, and repeats no epoch
        self.tree.end(run_id, "FINISHED", time_ms=end.time_ms)
        self._finished[path.stem] = _finished_trial(self.tree.client.get_run(run_id))
        path.unlink()

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Deliver in the background while the block runs, and once at its end.

        A store that is away for a while only delays the delivery.

        Raises:
          LedgerError: at the end of the block the store still does not answer; nothing is lost.
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
        try:
            self.deliver()
        except (MlflowException, OSError) as error:
            raise LedgerError(
                f"MLflow must take what the trials told, but does not: {error}; it waits in {self.spool_folder}, and "
                "running the study again delivers it"
            ) from error

    def _try_to_deliver(self) -> None:
        try:
            self.deliver()
        except Exception as error:  # whatever it is, the metrics are safe in the spools and the trials go on
            logger.warning("MLflow does not take the metrics now; they wait in %s: %s", self.spool_folder, error)

    def record_cell(self, target: str, method: str, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Write the summary of a cell and end its run."""
        run_id = self.cell(target, method)
        self.tree.log(run_id, metrics=metrics, tags=tags)
        self.tree.end(run_id, "FINISHED")

    def record_study(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str | None]],
    ) -> None:
        """Write figures, tags and files (with their artifact folder) of the study itself."""
        self.tree.log(self.study_run_id, metrics=metrics, tags=tags)
        for path, folder in artifacts:
            self.tree.log_artifact(self.study_run_id, path, folder)

    def failing_on_error(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """End the study's run as FAILED when a block ends in an error; an exit callback that never swallows it."""
        if error is not None:
            try:
                self.end_study("FAILED")
            except (MlflowException, OSError) as second:
                logger.warning("MLflow does not take the end of the study: %s", second)
        return False

    def end_study(self, status: str) -> None:
        """End the study's run as FINISHED or FAILED."""
        self.tree.end(self.study_run_id, status)


def _finished_trial(run: Run) -> FinishedTrial:
    tags, metrics = run.data.tags, run.data.metrics
    outcome: Outcome = "finished" if tags[schema.TAG_OUTCOME] == "finished" else "diverged"
    is_refit = tags[schema.TAG_KIND] == schema.KIND_REFIT
    score = metrics.get(schema.TEST_SCORE if is_refit else schema.VAL_SCORE)
    return FinishedTrial(
        key=tags[schema.TAG_KEY],
        run_id=str(run.info.run_id),
        is_refit=is_refit,
        outcome=outcome,
        score=score if outcome == "finished" else None,
        seconds=metrics.get(schema.SECONDS, 0.0),
    )
