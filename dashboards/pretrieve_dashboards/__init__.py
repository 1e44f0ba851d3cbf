"""Read-only views over a study's MLflow record: the table, the figures and the HTML report.

>>> import pretrieve_dashboards as dashboards
>>> record = dashboards.load_study("sqlite:///pretrieve-runs/birds/mlflow.db", "birds")  # doctest: +SKIP
>>> print(dashboards.score_table(record).to_text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve_dashboards.errors import DashboardError
    from pretrieve_dashboards.figures import dot_plot, ranked_similarity
    from pretrieve_dashboards.frames import best_frame, compare_frame
    from pretrieve_dashboards.load import load_study
    from pretrieve_dashboards.notes import experiment_note, run_notes, study_note
    from pretrieve_dashboards.paired import PairedDifference, paired_differences
    from pretrieve_dashboards.report import render_report, write_report
    from pretrieve_dashboards.runs_view import shared_runs_view
    from pretrieve_dashboards.status_view import print_status
    from pretrieve_dashboards.table import ScoreTable, score_table
    from pretrieve_dashboards.terminal import print_study

_HOME = {
    "DashboardError": "errors",
    "PairedDifference": "paired",
    "ScoreTable": "table",
    "best_frame": "frames",
    "compare_frame": "frames",
    "dot_plot": "figures",
    "experiment_note": "notes",
    "load_study": "load",
    "paired_differences": "paired",
    "print_status": "status_view",
    "print_study": "terminal",
    "ranked_similarity": "figures",
    "render_report": "report",
    "run_notes": "notes",
    "score_table": "table",
    "shared_runs_view": "runs_view",
    "study_note": "notes",
    "write_report": "report",
}

__all__ = [
    "DashboardError",
    "PairedDifference",
    "ScoreTable",
    "best_frame",
    "compare_frame",
    "dot_plot",
    "experiment_note",
    "load_study",
    "paired_differences",
    "print_status",
    "print_study",
    "ranked_similarity",
    "render_report",
    "run_notes",
    "score_table",
    "shared_runs_view",
    "study_note",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: an error message must not wait for MLflow and matplotlib."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
