"""The record of a study as a notebook shows it: its table, and where it stands."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretrieve.records import CellRecord, StudyRecord


def record_html(record: StudyRecord) -> str:
    """Write a study as an HTML table of its test scores, methods as rows and targets as columns.

    It takes the notebook's own colours and fonts, dark or light.
    """
    head = "".join(f"<th>{escape(target.name)}</th>" for target in record.targets)
    rows = "".join(_row(record, method) for method in record.methods)
    num_done = sum(trial.state != "running" for cell in record.cells for trial in cell.trials)
    num_planned = sum(cell.num_planned for cell in record.cells)
    standing = "finished" if record.is_finished else f"unfinished, {num_done} of {num_planned} trials have ended"
    return (
        f"<p><strong>{escape(record.name)}</strong> · {escape(record.backbone)} · {standing}</p>"
        f"<table><thead><tr><th>test score in %</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        "<p>± is half of the 95% interval over the refits; bold: the largest mean on a target.</p>"
    )


def _row(record: StudyRecord, method: str) -> str:
    cells = {cell.target: cell for cell in record.cells if cell.method == method}
    entries = "".join(f"<td>{_entry(record, cells.get(target.name))}</td>" for target in record.targets)
    return f"<tr><th>{escape(method)}</th>{entries}</tr>"


def _entry(record: StudyRecord, cell: CellRecord | None) -> str:
    if cell is None or cell.test_mean is None:
        return "—"
    interval = "" if cell.test_ci95 is None else f" ± {100 * cell.test_ci95:.1f}"
    told = f"{100 * cell.test_mean:.1f}{interval}"
    others = [each.test_mean for each in record.cells if each.target == cell.target]
    is_best = cell.test_mean == max(mean for mean in others if mean is not None)
    return f"<strong>{told}</strong>" if is_best else told
