"""Read-only views over a study's MLflow record: the table, the figures and the HTML report.

>>> import pretrieve_dashboards as dashboards
>>> record = dashboards.load_study("sqlite:///pretrieve-runs/birds/mlflow.db", "birds")  # doctest: +SKIP
>>> print(dashboards.score_table(record).to_text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve.records import StudyRecord
    from pretrieve_dashboards.comparison import Comparison, Published, Value, published_table
    from pretrieve_dashboards.curves import Curve, Level, draw_curves
    from pretrieve_dashboards.errors import DashboardError
    from pretrieve_dashboards.experiment_report import write_experiment
    from pretrieve_dashboards.experiment_view import Drawing, ExperimentView, Findings, Listing
    from pretrieve_dashboards.figures import dot_plot, ranked_similarity
    from pretrieve_dashboards.frames import best_frame, compare_frame
    from pretrieve_dashboards.load import load_study
    from pretrieve_dashboards.missing import missing_parts
    from pretrieve_dashboards.notes import experiment_note, run_notes, study_note
    from pretrieve_dashboards.paired import PairedDifference, paired_differences
    from pretrieve_dashboards.protocol_view import deviations
    from pretrieve_dashboards.ranked_groups import draw_ranked_groups
    from pretrieve_dashboards.report import render_report, write_report
    from pretrieve_dashboards.runs_view import shared_runs_view
    from pretrieve_dashboards.score_values import (
        gap_name,
        gap_values,
        method_values,
        row_name,
        score_comparison,
        series_values,
        targets_of,
    )
    from pretrieve_dashboards.status_view import print_status
    from pretrieve_dashboards.table import ScoreTable, score_table
    from pretrieve_dashboards.terminal import print_study

_HOME = {
    "Comparison": "comparison",
    "Curve": "curves",
    "DashboardError": "errors",
    "Drawing": "experiment_view",
    "ExperimentView": "experiment_view",
    "Findings": "experiment_view",
    "Level": "curves",
    "Listing": "experiment_view",
    "PairedDifference": "paired",
    "Published": "comparison",
    "ScoreTable": "table",
    "Value": "comparison",
    "best_frame": "frames",
    "compare_frame": "frames",
    "deviations": "protocol_view",
    "dot_plot": "figures",
    "draw_curves": "curves",
    "draw_ranked_groups": "ranked_groups",
    "experiment_note": "notes",
    "gap_name": "score_values",
    "gap_values": "score_values",
    "load_study": "load",
    "method_values": "score_values",
    "missing_parts": "missing",
    "paired_differences": "paired",
    "print_status": "status_view",
    "print_study": "terminal",
    "published_table": "comparison",
    "ranked_similarity": "figures",
    "render_report": "report",
    "row_name": "score_values",
    "run_notes": "notes",
    "score_comparison": "score_values",
    "score_table": "table",
    "series_values": "score_values",
    "shared_runs_view": "runs_view",
    "study_note": "notes",
    "targets_of": "score_values",
    "write_experiment": "experiment_report",
    "write_report": "report",
}

__all__ = [
    "Comparison",
    "Curve",
    "DashboardError",
    "Drawing",
    "ExperimentView",
    "Findings",
    "Level",
    "Listing",
    "PairedDifference",
    "Published",
    "ScoreTable",
    "Value",
    "best_frame",
    "compare_frame",
    "deviations",
    "dot_plot",
    "draw_curves",
    "draw_ranked_groups",
    "experiment_note",
    "gap_name",
    "gap_values",
    "load_study",
    "method_values",
    "missing_parts",
    "paired_differences",
    "print_status",
    "print_study",
    "published_table",
    "ranked_similarity",
    "render_report",
    "row_name",
    "run_notes",
    "run_page",
    "score_comparison",
    "score_table",
    "series_values",
    "shared_runs_view",
    "study_note",
    "targets_of",
    "write_experiment",
    "write_report",
]


def run_page(record: StudyRecord, run_id: str) -> str:
    """Return the address of a run's page in MLflow's UI; empty where the record does not say where that is."""
    from pretrieve_dashboards.run_links import run_links

    return run_links(record).run(run_id)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: an error message must not wait for MLflow and matplotlib."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
