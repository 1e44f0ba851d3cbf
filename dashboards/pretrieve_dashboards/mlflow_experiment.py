"""Read an experiment of MLflow: its runs by kind, the values of a metric, and its JSON artifacts."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from pretrieve.errors import UserError, nearest_word
from pretrieve.records.codec import RecordT, from_json
from pretrieve.tracking import schema
from pretrieve.tracking.address import database_file, for_client, read_runs, readable_address, without_password
from pretrieve_dashboards.errors import DashboardError, StoreAwayError

MAX_NAMES_LISTED = 10
NUM_READERS = 8


class MlflowExperiment:
    """The runs and artifacts of one experiment, read only.

    Raises:
      DashboardError: the store does not answer or holds no such experiment.
    """

    def __init__(self, tracking_uri: str, name: str) -> None:
        path = database_file(tracking_uri)
        if path is not None and not path.is_file():  # MLflow would make an empty one
            raise DashboardError(
                f"MLflow's store must exist, but there is no file {path}; "
                "run the study first or give the address of its store"
            )
        # By default each call waits minutes for a server that is down.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        # Otherwise each small file prints a progress bar.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self.tracking_uri = tracking_uri
        self._artifacts = None if path is None else path.parent / "artifacts"
        scratch = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        with self._answering():
            address = readable_address(tracking_uri, scratch)
            self._client = MlflowClient(tracking_uri=for_client(address))
            found: Experiment | None = self._client.get_experiment_by_name(name)
        if found is None:
            raise DashboardError(self._unknown_experiment(name))
        self.experiment_id = str(found.experiment_id)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (DashboardError, UserError):
            raise
        except (MlflowException, SQLAlchemyError, ValueError) as error:  # the last for an address of no form
            raise StoreAwayError(
                f"MLflow's store must answer, but {without_password(self.tracking_uri)} says: "
                f"{without_password(str(error))}; check the address and that the server runs"
            ) from None  # MLflow's own message may contain the password

    def _unknown_experiment(self, name: str) -> str:
        with self._answering():
            names = [str(each.name) for each in self._client.search_experiments() if each.name != "Default"]
        listed = ", ".join(names[:MAX_NAMES_LISTED]) or "none yet"
        more = f" and {len(names) - MAX_NAMES_LISTED} more" if len(names) > MAX_NAMES_LISTED else ""
        return (
            f"a study must be one of MLflow's experiments, but {name!r} is not in "
            f"{without_password(self.tracking_uri)}, which holds: {listed}{more}; "
            f"run the study first or give the address of its store.{nearest_word(name, names)}"
        )

    def runs(self, kind: str, *, key: str | None = None) -> list[Run]:
        """Read all runs of one kind, or those of one key, oldest first, with one request for each page of runs."""
        with_key = "" if key is None else f" and tags.`{schema.TAG_KEY}` = '{key}'"
        with self._answering():
            return read_runs(self._client, self.experiment_id, f"tags.`{schema.TAG_KIND}` = '{kind}'{with_key}")

    def histories(self, run_ids: Sequence[str], metric: str) -> dict[str, list[tuple[int, float, int]]]:
        """Read all values of a metric of some runs, with one request for each run, several at a time.

        Returns:
          For each run (step, value, milliseconds since 1970) in the order of steps. If a step was logged twice, the
          last value counts.
        """

        def history(run_id: str) -> list[tuple[int, float, int]]:
            with self._answering():
                logged = self._client.get_metric_history(run_id, metric)
            by_step = {int(each.step): (float(each.value), int(each.timestamp)) for each in logged}
            return [(step, *by_step[step]) for step in sorted(by_step)]

        with ThreadPoolExecutor(NUM_READERS) as readers:
            return dict(zip(run_ids, readers.map(history, run_ids), strict=True))

    def records(self, run_id: str, kind: type[RecordT], paths: Sequence[str]) -> list[RecordT]:
        """Read records of a type from a run's artifacts. Paths that do not exist are left out.

        Raises:
          DashboardError: a file is not such a record of this version.
        """
        top = {Path(path).parts[0] for path in paths}
        own = None if self._artifacts is None else self._artifacts / run_id / "artifacts"
        if own is not None and own.is_dir():  # MLflow's paths are of where the study's storage was first
            return [_read(own / path, kind, f"{path} of run {run_id}") for path in paths if (own / path).is_file()]
        with self._answering(), tempfile.TemporaryDirectory() as folder:
            for name in top & {artifact.path for artifact in self._client.list_artifacts(run_id)}:
                self._client.download_artifacts(run_id, name, dst_path=folder)
            files = {path: Path(folder, path) for path in paths}
            return [_read(file, kind, f"{path} of run {run_id}") for path, file in files.items() if file.is_file()]


def _read(file: Path, kind: type[RecordT], place: str) -> RecordT:
    try:
        return from_json(kind, json.loads(file.read_text(encoding="utf-8")), place)
    except UserError as error:
        raise DashboardError(str(error)) from error
    except ValueError as error:
        raise DashboardError(
            f"a record must be JSON, but {place} is not: {error}; run the study again, which writes it anew"
        ) from error
