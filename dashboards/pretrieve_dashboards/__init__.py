"""Shows what MLflow recorded of a study: as tables and figures, as an HTML report, in the terminal, in a notebook.

>>> import pretrieve_dashboards as dashboards
>>> record = dashboards.load_study("sqlite:///pretrieve-runs/birds/mlflow.db", "birds")  # doctest: +SKIP
>>> print(dashboards.score_table(record).to_text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve_dashboards.comparison import Comparison as Comparison
    from pretrieve_dashboards.comparison import Published as Published
    from pretrieve_dashboards.comparison import Value as Value
    from pretrieve_dashboards.comparison import gap_name as gap_name
    from pretrieve_dashboards.comparison import gap_values as gap_values
    from pretrieve_dashboards.comparison import method_values as method_values
    from pretrieve_dashboards.comparison import published_table as published_table
    from pretrieve_dashboards.comparison import row_name as row_name
    from pretrieve_dashboards.comparison import score_comparison as score_comparison
    from pretrieve_dashboards.comparison import series_values as series_values
    from pretrieve_dashboards.comparison import targets_of as targets_of
    from pretrieve_dashboards.curves import Curve as Curve
    from pretrieve_dashboards.curves import Level as Level
    from pretrieve_dashboards.curves import draw_curves as draw_curves
    from pretrieve_dashboards.curves import draw_ranked_groups as draw_ranked_groups
    from pretrieve_dashboards.errors import DashboardError as DashboardError
    from pretrieve_dashboards.experiment import Drawing as Drawing
    from pretrieve_dashboards.experiment import ExperimentView as ExperimentView
    from pretrieve_dashboards.experiment import Findings as Findings
    from pretrieve_dashboards.experiment import Listing as Listing
    from pretrieve_dashboards.experiment import write_experiment as write_experiment
    from pretrieve_dashboards.frames import best_frame as best_frame
    from pretrieve_dashboards.frames import compare_frame as compare_frame
    from pretrieve_dashboards.load import load_study as load_study
    from pretrieve_dashboards.notebook import notebook_html as notebook_html
    from pretrieve_dashboards.notes import experiment_note as experiment_note
    from pretrieve_dashboards.notes import run_notes as run_notes
    from pretrieve_dashboards.notes import shared_runs_view as shared_runs_view
    from pretrieve_dashboards.notes import study_note as study_note
    from pretrieve_dashboards.report import render_report as render_report
    from pretrieve_dashboards.report import write_report as write_report
    from pretrieve_dashboards.table import ScoreTable as ScoreTable
    from pretrieve_dashboards.table import score_table as score_table
    from pretrieve_dashboards.terminal import print_status as print_status
    from pretrieve_dashboards.terminal import print_study as print_study
    from pretrieve_dashboards.views.missing import missing_parts as missing_parts
    from pretrieve_dashboards.views.paired import PairedDifference as PairedDifference
    from pretrieve_dashboards.views.paired import paired_differences as paired_differences
    from pretrieve_dashboards.views.protocol import deviations as deviations
    from pretrieve_dashboards.views.scores import dot_plot as dot_plot
    from pretrieve_dashboards.views.selections import ranked_similarity as ranked_similarity
    from pretrieve_dashboards.wording import run_page as run_page

_HOMES = {
    "comparison": (
        "Comparison",
        "Published",
        "Value",
        "gap_name",
        "gap_values",
        "method_values",
        "published_table",
        "row_name",
        "score_comparison",
        "series_values",
        "targets_of",
    ),
    "curves": ("Curve", "Level", "draw_curves", "draw_ranked_groups"),
    "errors": ("DashboardError",),
    "experiment": ("Drawing", "ExperimentView", "Findings", "Listing", "write_experiment"),
    "frames": ("best_frame", "compare_frame"),
    "load": ("load_study",),
    "notebook": ("notebook_html",),
    "notes": ("experiment_note", "run_notes", "shared_runs_view", "study_note"),
    "report": ("render_report", "write_report"),
    "table": ("ScoreTable", "score_table"),
    "terminal": ("print_status", "print_study"),
    "views.missing": ("missing_parts",),
    "views.paired": ("PairedDifference", "paired_differences"),
    "views.protocol": ("deviations",),
    "views.scores": ("dot_plot",),
    "views.selections": ("ranked_similarity",),
    "wording": ("run_page",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that printing an error message does not import MLflow."""
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
