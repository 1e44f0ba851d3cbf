"""Read-only views over a study's MLflow record: the table, the figures, the HTML report, the terminal, the notebook.

>>> import pretrieve_dashboards as dashboards
>>> record = dashboards.load_study("sqlite:///pretrieve-runs/birds/mlflow.db", "birds")  # doctest: +SKIP
>>> print(dashboards.score_table(record).to_text())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve_dashboards.errors import DashboardError as DashboardError
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
    from pretrieve_dashboards.views.paired import PairedDifference as PairedDifference
    from pretrieve_dashboards.views.paired import paired_differences as paired_differences
    from pretrieve_dashboards.views.scores import dot_plot as dot_plot
    from pretrieve_dashboards.views.selections import ranked_similarity as ranked_similarity

_HOMES = {
    "errors": ("DashboardError",),
    "frames": ("best_frame", "compare_frame"),
    "load": ("load_study",),
    "notebook": ("notebook_html",),
    "notes": ("experiment_note", "run_notes", "shared_runs_view", "study_note"),
    "report": ("render_report", "write_report"),
    "table": ("ScoreTable", "score_table"),
    "terminal": ("print_status", "print_study"),
    "views.paired": ("PairedDifference", "paired_differences"),
    "views.scores": ("dot_plot",),
    "views.selections": ("ranked_similarity",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: an error message must not wait for MLflow."""
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
