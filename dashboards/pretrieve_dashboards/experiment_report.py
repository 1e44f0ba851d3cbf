"""The report of an experiment: one HTML file, in the look of a study's report."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from pretrieve_dashboards.experiment_view import ExperimentView
from pretrieve_dashboards.report import template_environment


def render_experiment(view: ExperimentView) -> str:
    """Render an experiment, finished or not: what there is, and what is missing.

    Returns:
      HTML without a script or anything from elsewhere; everything that comes from data is escaped.
    """
    drawings = [(drawing.caption, Markup(drawing.svg)) for drawing in view.findings.drawings]
    return template_environment().get_template("experiment.html.j2").render(view=view, drawings=drawings)


def write_experiment(view: ExperimentView, path: Path) -> None:
    """Write the report; its folder is made where there is none.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_experiment(view), encoding="utf-8")
