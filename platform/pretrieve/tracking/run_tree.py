"""Study, cells, trials and refits as nested MLflow runs, which are found by their tags."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pretrieve.tracking import schema
from pretrieve.tracking.address import for_client, read_runs

MAX_PARAM_LENGTH = 6_000
METRICS_PER_REQUEST = 500

PAGES_OF_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's pages open on the runs and their charts, instead of traces and prompts."""


class RunTree:
    """The runs of one study in the MLflow experiment of its name.

    `artifact_root` is the folder for the artifacts of a new experiment; None lets the server choose. MlflowException is
    raised if the store does not answer.
    """

    def __init__(self, *, tracking_uri: str, experiment: str, artifact_root: Path | None) -> None:
        # By default each call of the client waits minutes for a server that is down.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        # MLflow's messages about new tables, and progress bars for small files, would break the live view.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self.client = MlflowClient(tracking_uri=for_client(tracking_uri))
        self.experiment_id = self._experiment(experiment, artifact_root)

    def _experiment(self, name: str, artifact_root: Path | None) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = artifact_root.resolve().as_uri() if artifact_root else None
            try:
                return str(self.client.create_experiment(name, artifact_location=location, tags=PAGES_OF_TRAINING))
            except MlflowException:  # another process made it in between
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

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
