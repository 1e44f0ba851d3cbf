"""The report of a study: one HTML file that needs no network and no script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pretrieve.records import CellRecord, StudyRecord, TargetRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.figures import dot_plot, ranked_similarity
from pretrieve_dashboards.grid_view import GridView, grid_view
from pretrieve_dashboards.missing import NotedTrial, missing_parts, problems, remarks
from pretrieve_dashboards.selection_view import UNRANKED_METHODS, SelectionView, margins, selection_view
from pretrieve_dashboards.table import score_table

MAX_PROBLEMS_LISTED = 200
MAX_MISSING_LISTED = 200
NUM_MISSING_OPEN = 5
MAX_MESSAGE_LENGTH = 2_000

STUDENT_T_975 = ((2, "12.71"), (3, "4.30"), (4, "3.18"), (5, "2.78"), (10, "2.26"))
"""Quantiles of Student's t for n refits (n − 1 degrees of freedom)."""


@dataclass(frozen=True)
class TargetView:
    """One target's part of the report.

    Attributes:
      target: the column of the table.
      cells: its methods.
      grids: one a cell.
      selection: what its methods chose.
      figures: ranked similarity as SVG, with the method's name.
    """

    target: TargetRecord
    cells: tuple[CellRecord, ...]
    grids: tuple[GridView, ...]
    selection: SelectionView
    figures: tuple[tuple[str, Markup], ...]


@dataclass(frozen=True)
class CostView:
    """What a method's trials and refits took, over all targets."""

    method: str
    num_trials: int
    trial_seconds: float
    num_refits: int
    refit_seconds: float


def write_report(record: StudyRecord, path: Path) -> None:
    """Write the report; its folder is made where there is none.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(record), encoding="utf-8")


def render_report(record: StudyRecord) -> str:
    """Render a study, finished or not: what there is, and what is missing.

    Args:
      record: the study.

    Returns:
      HTML, self-contained; everything that comes from data is escaped.
    """
    table = score_table(record)
    found_problems, found_remarks, missing = problems(record), remarks(record), missing_parts(record)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            table=table,
            dot_plot=Markup(dot_plot(table)),
            targets=[_target_view(record, target) for target in record.targets],
            missing=missing[:MAX_MISSING_LISTED],
            num_missing=len(missing),
            num_missing_open=NUM_MISSING_OPEN,
            problems=[_shortened(problem) for problem in found_problems[:MAX_PROBLEMS_LISTED]],
            num_problems=len(found_problems),
            remarks=[_shortened(remark) for remark in found_remarks[:MAX_PROBLEMS_LISTED]],
            num_remarks=len(found_remarks),
            costs=[_cost_view(record, method) for method in record.methods],
            student_t=STUDENT_T_975,
            configuration=_configuration(record.settings),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pretrieve_dashboards", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "duration": wording.duration,
        "hyperparameters": wording.hyperparameters,
        "margins": margins,
        "ui_command": wording.ui_command,
        "without_password": wording.without_password,
    }
    environment.globals |= {"score_text": wording.score, "count": wording.count}
    return environment


def _target_view(record: StudyRecord, target: TargetRecord) -> TargetView:
    cells = tuple(cell for cell in record.cells if cell.target == target.name)
    view = selection_view(record, target.name)
    ranked = [selection for selection in view.selections if selection.method not in UNRANKED_METHODS]
    return TargetView(
        target=target,
        cells=cells,
        grids=tuple(grid_view(cell) for cell in cells),
        selection=view,
        figures=tuple((selection.method, Markup(ranked_similarity(selection))) for selection in ranked),
    )


def _cost_view(record: StudyRecord, method: str) -> CostView:
    cells = [cell for cell in record.cells if cell.method == method]
    trials: list[TrialRecord] = [trial for cell in cells for trial in cell.trials]
    refits: list[TrialRecord] = [refit for cell in cells for refit in cell.refits]
    return CostView(
        method=method,
        num_trials=len(trials),
        trial_seconds=sum(trial.seconds for trial in trials),
        num_refits=len(refits),
        refit_seconds=sum(refit.seconds for refit in refits),
    )


def _shortened(noted: NotedTrial) -> tuple[NotedTrial, str, str]:
    """Split a message into its first line and the rest: 200 tracebacks would fill the file."""
    message = noted.trial.message or "no reason was recorded"
    first, _, rest = message.strip().partition("\n")
    return noted, first[:MAX_MESSAGE_LENGTH], rest[:MAX_MESSAGE_LENGTH]


def _configuration(settings: Mapping[str, object]) -> str:
    return wording.without_password(json.dumps(settings, indent=2, ensure_ascii=False, default=str))
