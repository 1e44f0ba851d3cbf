"""The report of a study: one HTML file that needs no network and no script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pretrieve.records import StudyRecord, TrialRecord
from pretrieve.tracking import schema
from pretrieve.tracking.address import without_password
from pretrieve_dashboards import wording
from pretrieve_dashboards.audit_view import audit_details, audit_table
from pretrieve_dashboards.failure_view import failure_rows
from pretrieve_dashboards.figures import dot_plot
from pretrieve_dashboards.leak_view import leak_rows
from pretrieve_dashboards.missing import NotedTrial, missing_parts, problems, remarks
from pretrieve_dashboards.paired_view import paired_figure, paired_table, paired_view
from pretrieve_dashboards.protocol_view import deviations, protocol_table
from pretrieve_dashboards.run_links import run_links
from pretrieve_dashboards.selection_view import margins
from pretrieve_dashboards.table import score_table
from pretrieve_dashboards.target_part import stated_runs, target_parts
from pretrieve_dashboards.utilisation_view import utilisation_figure, utilisation_table, utilisation_view

MAX_PROBLEMS_LISTED = 200
MAX_MISSING_LISTED = 200
NUM_MISSING_OPEN = 5
MAX_MESSAGE_LENGTH = 2_000
FRAME = re.compile(r'^ *File ".*", line \d+', re.MULTILINE)

STUDENT_T_975 = ((2, "12.71"), (3, "4.30"), (4, "3.18"), (5, "2.78"), (10, "2.26"))
"""Quantiles of Student's t for n refits (n − 1 degrees of freedom)."""


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
    links = run_links(record)
    parts = target_parts(record, has_links=bool(links.ui))
    places: dict[str, str] = {}
    for run_id, place in stated_runs(parts):
        places.setdefault(run_id, place)
    paired = paired_view(record) if len(record.methods) > 1 else None
    utilisation = utilisation_view(record)
    found_problems, found_remarks, missing = problems(record), remarks(record), missing_parts(record)
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            table=table,
            dot_plot=Markup(dot_plot(table)),
            targets=parts,
            places=places,
            links_out=bool(links.ui),
            href=lambda run_id: links.run(run_id) or _place(places, run_id),
            runs_of_method=lambda method: links.runs_with(schema.TAG_METHOD, method),
            paired=paired,
            paired_table=paired_table(paired) if paired else None,
            paired_figure=Markup(paired_figure(paired)) if paired else "",
            utilisation=Markup(utilisation_figure(utilisation)),
            utilisation_table=utilisation_table(utilisation),
            num_untimed=utilisation.num_untimed,
            deviations=protocol_table(deviations(record)),
            missing=missing[:MAX_MISSING_LISTED],
            num_missing=len(missing),
            num_missing_open=NUM_MISSING_OPEN,
            problems=[_shortened(problem) for problem in found_problems[:MAX_PROBLEMS_LISTED]],
            num_problems=len(found_problems),
            remarks=[_shortened(remark) for remark in found_remarks[:MAX_PROBLEMS_LISTED]],
            num_remarks=len(found_remarks),
            leaks=leak_rows(record),
            audits=audit_table(record),
            audit_details=audit_details(record),
            failures=failure_rows(record),
            costs=[_cost_view(record, method) for method in record.methods],
            student_t=STUDENT_T_975,
            configuration=_configuration(record.settings),
        )
    )


def _place(places: Mapping[str, str], run_id: str | None) -> str:
    """Return where in the page a run's id is stated; empty where it is not."""
    return f"#{places[run_id]}" if run_id is not None and run_id in places else ""


def template_environment() -> Environment:
    """Make the environment of the templates: everything from data is escaped, an unknown name is an error."""
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
        "without_password": without_password,
    }
    environment.globals |= {"score_text": wording.score, "count": wording.count}
    return environment


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
    """Split a message into the line that says what it is and the rest: 200 tracebacks would fill the file.

    Of a traceback, which may be cut at its beginning, the last line says it, and the last frames are the nearest.
    """
    message = (noted.trial.message or "no reason was recorded").strip()
    if FRAME.search(message):
        return noted, message.splitlines()[-1][:MAX_MESSAGE_LENGTH], message[-MAX_MESSAGE_LENGTH:]
    first, _, rest = message.partition("\n")
    return noted, first[:MAX_MESSAGE_LENGTH], rest[:MAX_MESSAGE_LENGTH]


def _configuration(settings: Mapping[str, object]) -> str:
    return without_password(json.dumps(settings, indent=2, ensure_ascii=False, default=str))
