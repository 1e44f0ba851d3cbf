"""A study in a notebook: the tables of its views, in the notebook's own colours and fonts."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pretrieve.records import StudyRecord
from pretrieve_dashboards.views import Table, TableCell, View, all_views


@dataclass(frozen=True)
class ShownStudy(StudyRecord):
    """A study's record that a notebook shows as tables; `views` are those that it brings along."""

    views: tuple[View, ...] = ()

    def _repr_html_(self) -> str:
        return notebook_html(self)


def notebook_html(record: StudyRecord) -> str:
    """Return the tables of a finished or unfinished study as HTML. Everything that comes from data is escaped."""
    num_done = sum(trial.state != "running" for cell in record.cells for trial in cell.trials)
    num_planned = sum(cell.num_planned for cell in record.cells)
    standing = "finished" if record.is_finished else f"unfinished, {num_done} of {num_planned} trials have ended"
    head = Markup("<p><strong>{}</strong> · {} · {}</p>").format(record.name, record.backbone, standing)
    tables = [view.table(record) for view in all_views(record) if view.in_notebook and view.applies(record)]
    return head + Markup("").join(_table(table) for table in tables if table is not None)


def _table(table: Table) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in table.head)
    rows = Markup("").join(Markup("<tr>{}</tr>").format(_row(row)) for row in table.rows)
    whole = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table><p>{}</p>")
    return whole.format(head, rows, table.caption)


def _row(row: tuple[TableCell, ...]) -> Markup:
    shown = [Markup("<strong>{}</strong>").format(cell.text) if cell.is_best else cell.text for cell in row]
    entries = Markup("").join(Markup("<td>{}</td>").format(text) for text in shown[1:])
    return Markup("<th>{}</th>{}").format(shown[0], entries)
