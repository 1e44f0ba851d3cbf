"""What holds for every view, and that a new one is one new file."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from pretrieve.records import StudyRecord
from pretrieve_dashboards import notebook_html, print_study, render_report, views
from pretrieve_dashboards.views._base import View, of_cell, of_target

NEW_VIEW = '''
from rich.text import Text
from pretrieve_dashboards.views import Figure, Table, TableCell, View


class Weather(View):
    """The weather on the day of the study."""

    name = "weather"
    id = "weather"
    title = "The weather"
    link = "Weather"
    order = 45
    in_notebook = True

    def applies(self, record):
        return record.is_finished

    def text(self, record):
        return f"It was measured for {record.name}."

    def table(self, record):
        return Table("Weather", "Degrees Celsius.", ("place", "degrees"), [(TableCell("<here>"), TableCell("21"))])

    def figures(self, record):
        return [Figure("<svg role='img' aria-label='Sun.'></svg>", "The sun.")]

    def printed(self, record, console):
        yield Text("Weather: 21 degrees")
'''


@pytest.fixture
def with_a_new_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file more in the folder of the views."""
    (tmp_path / "weather.py").write_text(NEW_VIEW, encoding="utf-8")
    monkeypatch.setattr(views, "__path__", [*views.__path__, str(tmp_path)])
    yield
    sys.modules.pop(f"{views.__name__}.weather")


@pytest.mark.usefixtures("with_a_new_view")
def test_a_new_file_is_a_view_of_the_report_the_terminal_and_the_notebook(
    finished_study: StudyRecord, unfinished_study: StudyRecord
) -> None:
    html = render_report(finished_study)
    assert html.index('<h2 id="problems">') < html.index('<h2 id="weather">The weather</h2>') < html.index('id="cost"')
    for part in ('<a href="#weather">Weather</a>', "measured for study", "&lt;here&gt;", "The sun.", "Sun."):
        assert part in html
    text = io.StringIO()
    print_study(finished_study, Console(file=text, width=100))
    assert "Weather: 21 degrees" in text.getvalue()
    assert "<th>&lt;here&gt;</th><td>21</td>" in notebook_html(finished_study)
    assert "The weather" not in render_report(unfinished_study)


@pytest.mark.parametrize("view", views.all_views(), ids=lambda view: type(view).__name__)
def test_a_view_shows_what_there_is_of_any_study(
    view: View, finished_study: StudyRecord, unfinished_study: StudyRecord
) -> None:
    """Of a whole one, one under way, and one of which nothing has begun: tables are whole, figures have a text."""
    not_begun = [
        replace(cell, trials=(), refits=(), best=None, best_val_score=None, test_mean=None, test_ci95=None, run_id=None)
        for cell in finished_study.cells
    ]
    before = replace(unfinished_study, cells=tuple(not_begun), selections=(), stage_seconds={})
    for study in (finished_study, unfinished_study, before):
        parts = {
            "study": [study],
            "target": [of_target(study, target) for target in study.targets],
            "cell": [of_cell(study, cell) for cell in study.cells],
        }
        for record in filter(view.applies, parts[view.scope]):
            assert isinstance(view.heading(record) + view.text(record) + view.note(record), str)
            table = view.table(record)
            if table is not None:
                assert {len(row) for row in table.rows} <= ({len(table.head)} if table.head else {1, 2})
                assert len(table.row_runs) in (0, len(table.rows))
            for figure in view.figures(record):
                assert ElementTree.fromstring(figure.svg).get("aria-label")


def test_views_of_a_study_have_places_of_their_own_and_every_view_its_order() -> None:
    found = views.all_views()
    ids = [view.id for view in found if view.id]
    assert len(set(ids)) == len(ids)
    assert len({view.order for view in found}) == len(found)
    assert all(view.id for view in found if view.link)
