"""What holds for every view, and that a new one is one new file."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from markupsafe import Markup
from rich.console import Console

from pretrieve.records import StudyRecord
from pretrieve.testing.views import check_view
from pretrieve_dashboards import notebook_html, print_study, render_report, views
from pretrieve_dashboards.view_table import Table, row
from pretrieve_dashboards.views._base import Figure, View

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
    headings = [f'<h2 id="{view.id}">' for view in views.all_views(finished_study) if view.scope == "study"]
    places = [html.index(heading) for heading in headings if heading in html]
    assert places == sorted(places), "the new one stands in its order among the others"
    for part in (
        '<h2 id="weather">The weather</h2>',
        '<a href="#weather">Weather</a>',
        "measured for study",
        "&lt;here&gt;",
        "The sun.",
        "Sun.",
    ):
        assert part in html
    text = io.StringIO()
    print_study(finished_study, Console(file=text, width=100))
    assert "Weather: 21 degrees" in text.getvalue()
    assert "<th>&lt;here&gt;</th><td>21</td>" in notebook_html(finished_study)
    assert "The weather" not in render_report(unfinished_study)


@pytest.mark.parametrize("view", views.all_views(), ids=lambda view: type(view).__name__)
def test_every_view_keeps_the_contract(view: View) -> None:
    check_view(view)


class Sound(View):
    name = "sound"
    title = "Sound"
    order = 46


def broken(**parts: object) -> View:
    return type("Broken", (Sound,), {"name": "broken", **parts})()


@pytest.mark.parametrize(
    ("view", "fault"),
    [
        (broken(name=views.all_views()[0].name), r"must have name of its own, but \w+ has '\w+' too"),
        (broken(order=views.all_views()[0].order), "must have order of its own"),
        (broken(link="Sound"), "must have an id for its link 'Sound'"),
        (broken(scope="cell", id="sound"), "must have no id, as it is shown for each cell"),
        (broken(text=lambda self, record: None), "must give a string as text, but gives None"),
        (
            broken(table=lambda self, record: Table("a", "b", ("c",), [row("1", "2")])),
            r"as wide as the head, \{1\}",
        ),
        (broken(figures=lambda self, record: [Figure("<svg>")]), "one is no XML"),
        (broken(figures=lambda self, record: [Figure("<svg></svg>")]), "must give each figure a text alternative"),
        (broken(note=lambda self, record: Markup(record.targets[1].name)), "must escape what comes from data"),
    ],
)
def test_a_view_that_breaks_the_contract_is_found(view: View, fault: str) -> None:
    check_view(Sound())
    with pytest.raises(AssertionError, match=fault):
        check_view(view)


def test_views_of_a_study_have_places_of_their_own_and_every_view_its_order() -> None:
    found = views.all_views()
    ids = [view.id for view in found if view.id]
    assert len(set(ids)) == len(ids)
    assert len({view.order for view in found}) == len(found)
    assert all(view.id for view in found if view.link)
