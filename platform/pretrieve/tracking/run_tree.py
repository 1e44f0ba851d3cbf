"""Study, cells, trials and refits as nested MLflow runs, which are found by their tags."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pretrieve.tracking import schema
from pretrieve.tracking.address import for_client, read_runs, sqlite_store
from pretrieve.tracking.ownership import check_database, move_artifacts, owner_of, take_experiment

logger = logging.getLogger(__name__)

MAX_PARAM_LENGTH = 6_000
METRICS_PER_REQUEST = 500

PAGES_OF_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's pages open on the runs and their charts, instead of traces and prompts."""


class RunTree:
    """The runs of one study in the MLflow experiment of its name.

    `artifact_root` is the folder for the artifacts of the experiment; None lets the server choose. The experiment must
    be that of the study in `folder`; None asks nothing. `notice` is called with messages for the user.

    Raises:
      MlflowException: the store does not answer.
      UserError: it is another program's file, or the experiment is another study's.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        experiment: str,
        artifact_root: Path | None,
        folder: Path | None = None,
        notice: Callable[[str], None] = logger.warning,
    ) -> None:
        # By default each call of the client waits minutes for a server that is down. A call is not tried again below
        # this class, as one that was carried out without an answer would make a second run.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        # MLflow's messages about new tables, and progress bars for small files, would break the live view.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        check_database(tracking_uri)
        self.client = MlflowClient(tracking_uri=for_client(tracking_uri))
        root = None if artifact_root is None else artifact_root.resolve().as_uri()
        found = self._experiment(experiment, root, {} if folder is None else owner_of(folder).tags())
        if folder is not None:
            is_own_store = tracking_uri == sqlite_store(folder)
            if take_experiment(self.client, found, folder, is_own_store=is_own_store):
                notice(f"MLflow's experiment {experiment!r} was in its trash, and is restored")
            if root is not None:
                move_artifacts(tracking_uri, found, root)
        self.experiment_id = str(found.experiment_id)

    def _experiment(self, name: str, location: str | None, owner_tags: Mapping[str, str]) -> Experiment:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            tags = {**PAGES_OF_TRAINING, **owner_tags}
            try:
                return self.client.get_experiment(self.client.create_experiment(name, location, tags))
            except MlflowException:  # another process made it in between, or it was made without an answer
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return found

    def runs(self, kind: str, status: str | None = None) -> list[Run]:
        """Read all runs of one kind, oldest first; if a status is given, only those that have it."""
        with_status = "" if status is None else f" and attributes.status = '{status}'"
        return read_runs(self.client, self.experiment_id, f"tags.`{schema.TAG_KIND}` = '{kind}'{with_status}")

    def find(self, kind: str, tags: Mapping[str, str]) -> str | None:
        """Return the id of the oldest run of a kind with these tags; None if there is none."""
        found = (str(run.info.run_id) for run in self.runs(kind) if tags.items() <= run.data.tags.items())
        return next(found, None)

    def create(
        self, name: str, *, kind: str, parent: str | None, tags: Mapping[str, str], start_ms: int | None = None
    ) -> str:
        """Make a run below `parent` that started at `start_ms` (milliseconds since 1970) or now; return its id."""
        all_tags = {schema.TAG_KIND: kind, **tags}
        if parent is not None:
            all_tags[schema.TAG_PARENT] = parent
        run = self.client.create_run(self.experiment_id, start_time=start_ms, run_name=name, tags=all_tags)
        return str(run.info.run_id)

    def remove_twins(self, kept: Collection[str]) -> None:
        """Delete the runs that a request made twice: empty ones beside a run of the same kind and key, or cell.

        `kept` are the ids of runs in use, which stay.
        """
        for kind in (schema.KIND_STUDY, schema.KIND_CELL, schema.KIND_TRIAL, schema.KIND_REFIT):
            groups: dict[tuple[str | None, ...], list[Run]] = {}
            for run in self.runs(kind):
                names = (schema.TAG_KEY, schema.TAG_TARGET, schema.TAG_METHOD)
                groups.setdefault(tuple(run.data.tags.get(name) for name in names), []).append(run)
            for runs in groups.values():
                stays = next((run for run in runs if run.info.run_id in kept), None) or max(runs, key=_num_logged)
                for run in runs:
                    if run is not stays and run.info.run_id not in kept and not _num_logged(run):
                        self.client.delete_run(run.info.run_id)

    def reopen(self, run_id: str) -> None:
        self.client.update_run(run_id, status="RUNNING")

    def log(self, run_id: str, *, metrics: Mapping[str, float] | None = None, tags: Mapping[str, str]) -> None:
        """Log metrics, with the current time and step 0, and tags of a run."""
        now = time.time_ns() // 1_000_000
        self.log_at(run_id, [(name, value, now, 0) for name, value in (metrics or {}).items()], tags)

    def log_at(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]],
        tags: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Log metrics as (name, value, time_ms, step), parameters with the first request and tags with the last.

        Sending them again adds nothing. Each request is as large as allowed, because its fixed cost is the largest.
        """
        whole = [Metric(*figure) for figure in metrics]
        first = [Param(name, str(value)[:MAX_PARAM_LENGTH]) for name, value in (params or {}).items()]
        last = [RunTag(name, value) for name, value in tags.items()]
        starts = range(0, len(whole), METRICS_PER_REQUEST) or range(1 if first or last else 0)
        for start in starts:
            part = whole[start : start + METRICS_PER_REQUEST]
            is_last = start == starts[-1]
            self.client.log_batch(run_id, part, params=[] if start else first, tags=last if is_last else [])

    def end(self, run_id: str, status: str, *, time_ms: int | None = None) -> None:
        """End a run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run_id, status=status, end_time=time_ms)


def _num_logged(run: Run) -> int:
    return len(run.data.metrics) + len(run.data.params) + (schema.TAG_OUTCOME in run.data.tags)
