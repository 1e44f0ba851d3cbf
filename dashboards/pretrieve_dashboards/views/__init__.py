"""The views of a study. Every `View` defined in a file of this folder is shown; no list names them."""

from __future__ import annotations

from pretrieve.records import StudyRecord
from pretrieve_dashboards.view_table import Table, TableCell
from pretrieve_dashboards.views._base import Figure, Lines, View
from pretrieve_selection.members import folder_members

__all__ = ["Figure", "Lines", "Table", "TableCell", "View", "all_views"]


def all_views(record: StudyRecord | None = None) -> tuple[View, ...]:
    """Create each view that the files of this folder define, in the order in which they are shown.

    Those that the study of a record brings along stand among them.
    """
    views: list[View] = [each() for each in folder_members(__name__, View).values()]
    views += getattr(record, "views", ())
    return tuple(sorted(views, key=lambda view: (view.order, view.title, type(view).__name__)))
