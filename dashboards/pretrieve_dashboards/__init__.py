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
    from pretrieve_dashboards.load import load_study
    from pretrieve_dashboards.paired import PairedDifference, paired_differences
    from pretrieve_dashboards.report import render_report, write_report
    from pretrieve_dashboards.table import ScoreTable, score_table
    from pretrieve_dashboards.terminal import print_study

_HOME = {
    "DashboardError": "errors",
    "PairedDifference": "paired",
    "ScoreTable": "table",
    "dot_plot": "figures",
    "load_study": "load",
    "paired_differences": "paired",
    "print_study": "terminal",
    "ranked_similarity": "figures",
    "render_report": "report",
    "score_table": "table",
    "write_report": "report",
}

__all__ = [
    "DashboardError",
    "PairedDifference",
    "ScoreTable",
    "dot_plot",
    "load_study",
    "paired_differences",
    "print_study",
    "ranked_similarity",
    "render_report",
    "score_table",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: an error message must not wait for MLflow and matplotlib."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
