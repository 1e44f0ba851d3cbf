"""What leaks are worth: refits of one seed, with them and without."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from pretrieve.records import StudyRecord
from pretrieve_dashboards import render_report
from pretrieve_dashboards.views.leaks import leak_rows


@pytest.fixture
def leaky_study(finished_study: StudyRecord, make_trial: Any) -> StudyRecord:
    """The uot of birds, with leaks 0.92, 0.94 and 0.93 where it has 0.9 each without."""
    scores = {11: 0.92, 12: 0.94, 13: 0.93, 99: 1.0}
    refits = tuple(make_trial(f"l{seed}", kind="refit", score=score, seed=seed) for seed, score in scores.items())
    first, leaky, *others = finished_study.cells
    return replace(finished_study, cells=(first, replace(leaky, refits_with_leaks=refits), *others))


def test_seeds_of_both_are_compared(leaky_study: StudyRecord) -> None:
    """Differences 0.02, 0.04, 0.03: mean 0.03, s = 0.01, and t of two degrees of freedom is 4.3027."""
    (row,) = leak_rows(leaky_study)
    assert (row.target, row.method, row.num_seeds) == ("birds", "uot", 3)
    assert (row.without, row.with_leaks, row.gain) == pytest.approx((0.9, 0.93, 0.03))
    assert row.gain_ci95 == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-3)


@pytest.mark.shows("best")
def test_report_shows_the_score_with_and_without(leaky_study: StudyRecord) -> None:
    html = render_report(leaky_study)
    assert "Effect of the leaks on test scores" in html
    assert re.search(r"birds</th><td>uot</td>.*>90\.0</a></td>.*>93\.0</a></td>.*>3\.0 ± 2\.5</a></td>", html)


def test_study_without_leaks_says_nothing_of_them(finished_study: StudyRecord) -> None:
    assert not leak_rows(finished_study)
    assert "Effect of the leaks" not in render_report(finished_study)


def test_unfinished_study_shows_the_cells_of_which_both_trainings_are_there(
    unfinished_study: StudyRecord, make_trial: Any
) -> None:
    """Of uot on birds one refit with leaks failed and one runs; of finetune one of two pairs is whole."""
    first, second, *others = unfinished_study.cells
    refits = tuple(make_trial(f"r{seed}", kind="refit", seed=seed, score=0.5) for seed in (11, 12))
    with_leaks = (
        make_trial("l11", kind="refit", seed=11, score=0.6),
        make_trial("l12", kind="refit", seed=12, state="failed"),
    )
    waiting = (make_trial("w11", kind="refit", seed=11, state="running"), with_leaks[1])
    cells = (
        replace(first, refits=refits, refits_with_leaks=with_leaks),
        replace(second, refits=refits, refits_with_leaks=waiting),
        *others,
    )
    (row,) = leak_rows(replace(unfinished_study, cells=cells))
    assert (row.method, row.num_seeds, row.run_id) == ("finetune", 1, first.run_id)
    assert (row.without, row.with_leaks, row.gain) == pytest.approx((0.5, 0.6, 0.1))
