"""Shows what MLflow recorded of a study: as tables and figures, as an HTML report, in the terminal, in a notebook.

>>> import pretrieve_dashboards as dashboards
>>> record = dashboards.load_study("sqlite:///pretrieve-runs/birds/mlflow.db", "birds")  # doctest: +SKIP
>>> print(dashboards.score_table(record).to_text())  # doctest: +SKIP
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from inspect import getsource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve_dashboards.differences import PairedDifference as PairedDifference
    from pretrieve_dashboards.differences import paired_differences as paired_differences
    from pretrieve_dashboards.errors import DashboardError as DashboardError
    from pretrieve_dashboards.errors import StoreAwayError as StoreAwayError
    from pretrieve_dashboards.figures import dot_plot as dot_plot
    from pretrieve_dashboards.figures import ranked_similarity as ranked_similarity
    from pretrieve_dashboards.frames import best_frame as best_frame
    from pretrieve_dashboards.frames import compare_frame as compare_frame
    from pretrieve_dashboards.load import load_study as load_study
    from pretrieve_dashboards.missing_results import missing_parts as missing_parts
    from pretrieve_dashboards.mlflow_notes import experiment_note as experiment_note
    from pretrieve_dashboards.mlflow_notes import run_notes as run_notes
    from pretrieve_dashboards.mlflow_notes import shared_runs_view as shared_runs_view
    from pretrieve_dashboards.mlflow_notes import study_note as study_note
    from pretrieve_dashboards.model_card import render_model_card as render_model_card
    from pretrieve_dashboards.notebook import notebook_html as notebook_html
    from pretrieve_dashboards.paper_comparison import Comparison as Comparison
    from pretrieve_dashboards.paper_comparison import Published as Published
    from pretrieve_dashboards.paper_comparison import Value as Value
    from pretrieve_dashboards.paper_comparison import gap_name as gap_name
    from pretrieve_dashboards.paper_comparison import gap_values as gap_values
    from pretrieve_dashboards.paper_comparison import method_values as method_values
    from pretrieve_dashboards.paper_comparison import published_table as published_table
    from pretrieve_dashboards.paper_comparison import row_name as row_name
    from pretrieve_dashboards.paper_comparison import score_comparison as score_comparison
    from pretrieve_dashboards.paper_comparison import series_values as series_values
    from pretrieve_dashboards.paper_comparison import targets_of as targets_of
    from pretrieve_dashboards.paper_figures import Curve as Curve
    from pretrieve_dashboards.paper_figures import Level as Level
    from pretrieve_dashboards.paper_figures import draw_curves as draw_curves
    from pretrieve_dashboards.paper_figures import draw_ranked_groups as draw_ranked_groups
    from pretrieve_dashboards.paper_report import Drawing as Drawing
    from pretrieve_dashboards.paper_report import ExperimentView as ExperimentView
    from pretrieve_dashboards.paper_report import Findings as Findings
    from pretrieve_dashboards.paper_report import Listing as Listing
    from pretrieve_dashboards.paper_report import write_experiment as write_experiment
    from pretrieve_dashboards.protocol import deviations as deviations
    from pretrieve_dashboards.report import render_report as render_report
    from pretrieve_dashboards.report import write_report as write_report
    from pretrieve_dashboards.table_of_scores import ScoreTable as ScoreTable
    from pretrieve_dashboards.table_of_scores import score_table as score_table
    from pretrieve_dashboards.terminal import print_status as print_status
    from pretrieve_dashboards.terminal import print_study as print_study
    from pretrieve_dashboards.wording import run_page as run_page

# The imports above are the only list of the public names. They run on first use, so they are read as text here.
_IMPORTS = [node for node in ast.walk(ast.parse(getsource(sys.modules[__name__]))) if isinstance(node, ast.ImportFrom)]
_HOME_OF = {name.name: str(node.module) for node in _IMPORTS for name in node.names if name.asname}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that printing an error message does not import MLflow."""
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
