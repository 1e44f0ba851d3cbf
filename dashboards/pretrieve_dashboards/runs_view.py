"""The list of a study's runs in MLflow's UI with the columns that tell something, behind a link in its note."""

from __future__ import annotations

import json

from pretrieve.records import StudyRecord
from pretrieve.tracking import schema

RUNS_VIEW = "study"
"""Key of the view: MLflow's UI finds it in a tag of the experiment, as it does the views that people share."""

_METRICS = (
    schema.TEST_MEAN,
    schema.TEST_CI95,
    schema.BEST_VAL_SCORE,
    schema.VAL_SCORE,
    schema.TEST_SCORE,
    schema.SECONDS,
)
"""With seconds as the trial told them: what MLflow calls a run's duration holds the time between two attempts too."""

_ALWAYS = ("lr", "weight_decay", "head_lr_ratio")
_WHERE_VARIED = ("source_weight", "top_k")


def shared_runs_view(record: StudyRecord) -> str:
    """Describe the columns of the list of runs, as MLflow's UI keeps a shared view: scores, then hyperparameters.

    Args:
      record: the study; λ and K are columns where it has them.

    Returns:
      JSON, the value of the experiment's tag `schema.TAG_RUNS_VIEW`.
    """
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits)]
    varied = [name for name in _WHERE_VARIED if any(name in trial.hyperparameters for trial in trials)]
    columns = [
        *(f"metrics.`{name}`" for name in _METRICS),
        *(f"params.`{name}`" for name in (*_ALWAYS, *varied)),
        f"tags.`{schema.TAG_OUTCOME}`",
    ]
    return json.dumps({"selectedColumns": columns, "orderByKey": "attributes.start_time", "orderByAsc": True})


def runs_view_address(record: StudyRecord) -> str:
    """Return where MLflow's UI shows the view, relative to its own page."""
    return f"#/experiments/{record.experiment_id}/runs?viewStateShareKey={RUNS_VIEW}"
