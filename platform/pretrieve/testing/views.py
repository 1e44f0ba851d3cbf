"""What holds for every view of a study."""

from __future__ import annotations

import io
from collections.abc import Iterable
from xml.etree import ElementTree

from rich.console import Console

from pretrieve.records import StudyRecord
from pretrieve.testing.study_records import finished_study, study_not_begun, unfinished_study
from pretrieve_dashboards import render_report
from pretrieve_dashboards.notebook import ShownStudy
from pretrieve_dashboards.views import View, all_views
from pretrieve_dashboards.views._base import of_cell, of_target


def check_view(view: View) -> None:
    """Compare a view with its contract, on a study that is finished, under way, and not begun.

    Raises:
      AssertionError: the view breaks the contract; the message says where.
    """
    place = f"the view {view.name!r}"
    for built_in in all_views():
        if type(built_in) is not type(view):
            for field in ("name", "order", "id"):
                value, owner = getattr(view, field), type(built_in).__name__
                is_own = value == "" or getattr(built_in, field) != value
                assert is_own, f"{place} must have {field} of its own, but {owner} has {value!r} too"
    assert view.id or not view.link, f"{place} must have an id for its link {view.link!r}"
    assert view.scope == "study" or not view.id, f"{place} must have no id, as it is shown for each {view.scope}"
    studies = {"finished": finished_study(), "under way": unfinished_study(), "not begun": study_not_begun()}
    num_shown = 0
    for word, study in studies.items():
        before = repr(study)
        for record in _parts(view, study):
            if view.applies(record):
                num_shown += 1
                _check_content(view, record, f"{place}, of a study that is {word},")
        console = Console(file=io.StringIO(), width=100)
        for shown in view.printed(study, console):
            console.print(shown)
        assert repr(study) == before, f"{place} must not change the record"
    if num_shown:
        whole = ShownStudy(**{**vars(studies["finished"]), "views": (view,)})
        assert "<script>alert" not in render_report(whole), f"{place} must escape what comes from data"


def _parts(view: View, study: StudyRecord) -> Iterable[StudyRecord]:
    if view.scope == "study":
        return [study]
    if view.scope == "target":
        return [of_target(study, target) for target in study.targets]
    return [of_cell(study, cell) for cell in study.cells]


def _check_content(view: View, record: StudyRecord, place: str) -> None:
    for name in ("heading", "text", "note"):
        text = getattr(view, name)(record)
        assert isinstance(text, str), f"{place} must give a string as {name}, but gives {text!r}"
    table = view.table(record)
    if table is not None:
        widths = {len(row) for row in table.rows}
        allowed = {len(table.head)} if table.head else {1, 2}
        assert widths <= allowed, f"{place} must give rows as wide as the head, {allowed}, but gives {widths} cells"
        assert len(table.row_runs) in (0, len(table.rows)), f"{place} must give one entry of row_runs for each row"
    for figure in view.figures(record):
        try:
            label = ElementTree.fromstring(figure.svg).get("aria-label")
        except ElementTree.ParseError as error:
            raise AssertionError(f"{place} must give figures in SVG, but one is no XML: {error}") from error
        assert label, f"{place} must give each figure a text alternative, its aria-label"
