"""What went wrong by kind, and where a study stands."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from pretrieve.records import StudyRecord
from pretrieve_dashboards import print_status, render_report
from pretrieve_dashboards.failures import failure_rows

MESSAGE = "Traceback\n  line\nValueError: odd [x]"


@pytest.fixture
def troubled(finished_study: StudyRecord, make_trial: Any) -> StudyRecord:
    """The first cell with one trial that went on after two lost nodes, one diverged, and one with a program error."""
    first, *others = finished_study.cells
    trials = (
        replace(make_trial("a"), interruptions={"node lost": 2, "hung": 1}),
        make_trial("b", state="diverged"),
        replace(
            make_trial("c", state="failed", message="Traceback\n  line\nValueError: odd [x]"), failure="program error"
        ),
    )
    return replace(finished_study, is_finished=False, cells=(replace(first, trials=trials, num_planned=4), *others))


@pytest.mark.shows("failures")
def test_interruptions_and_ends_are_counted_by_kind(troubled: StudyRecord) -> None:
    rows = {row.kind: (row.num_interruptions, row.num_trials) for row in failure_rows(troubled)}
    assert rows == {"node lost": (2, 0), "hung": (1, 0), "program error": (0, 1), "diverged": (0, 1)}
    html = render_report(troubled)
    assert "What went wrong, by kind" in html
    assert '<th scope="row">node lost</th><td class="number">2</td><td class="number">0</td>' in html


def test_a_study_without_trouble_has_no_such_section(finished_study: StudyRecord) -> None:
    assert not failure_rows(finished_study)
    assert "What went wrong" not in render_report(finished_study)


@pytest.mark.parametrize(
    ("driver", "standing"), [(None, "not running"), ("process 7 on a-host", "run by process 7 on a-host")]
)
def test_the_status_says_who_runs_it_and_why_trials_failed(
    troubled: StudyRecord, driver: str | None, standing: str
) -> None:
    console = Console(file=io.StringIO(), width=160)
    print_status(troubled, console, driver=driver)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert standing in text
    assert "trial of repeat 1: lr" in text
    assert "ValueError: odd [x]" in text
    first = next(
        line for line in text.splitlines() if line.split()[:2] == [troubled.cells[0].target, troubled.cells[0].method]
    )
    assert first.split()[2:8] == ["4", "1", "·", "1", "·", "1"]


def test_brackets_in_names_are_no_markup_in_the_status(finished_study: StudyRecord) -> None:
    cells = tuple(replace(cell, target="[red]kites") for cell in finished_study.cells)
    console = Console(file=io.StringIO(), width=160)
    print_status(replace(finished_study, cells=cells), console, driver=None)
    assert "[red]kites" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.shows("problems")
def test_the_report_names_the_error_of_a_long_traceback_that_was_cut_at_its_beginning(
    finished_study: StudyRecord, make_trial: Any
) -> None:
    frames = '  File "user.py", line 7, in step\n    fall()\n' * 200
    failed = make_trial("cut", state="failed", message=f"t\n{frames}ValueError: the <cause>")
    first, *others = finished_study.cells
    html = render_report(replace(finished_study, cells=(replace(first, trials=(*first.trials, failed)), *others)))
    assert "<td>ValueError: the &lt;cause&gt;<details>" in html
