"""The verdict of a study, as its report, its notes and a notebook show it."""

from __future__ import annotations

from dataclasses import replace

from verdicts_of_studies import with_verdict

from pretrieve.records import StudyRecord, VerdictRecord
from pretrieve_dashboards import render_report, run_notes, wording
from pretrieve_dashboards.views.verdict import Verdicts, interval, primary_contrasts, sentences

CONTRASTS = [
    ("uot", "finetune", None, "better", False),
    ("uot", "finetune", "birds", "undecided", False),
]


def test_a_study_without_repeats_has_no_verdict(finished_study: StudyRecord) -> None:
    assert not Verdicts().applies(finished_study)
    assert 'id="verdict"' not in render_report(finished_study)


def test_the_verdict_on_the_average_stands_first(finished_study: StudyRecord) -> None:
    judged = with_verdict(finished_study, CONTRASTS)
    report = render_report(judged)
    sentence = "uot is better beside finetune on average."
    assert report.index(sentence) < report.index('id="table"')
    assert sentence in run_notes(judged)[judged.run_id].split("|")[0]
    assert Verdicts().table(judged).texts() == [
        ["uot − finetune", "average", "better", "+2.0", "+0.5 to +3.5 (96 %)"],
        ["uot − finetune", "birds", "undecided", "+2.0", "+0.5 to +3.5 (96 %)"],
    ]
    assert [row[3].is_best for row in Verdicts().table(judged).rows] == [True, False]


def test_a_single_targets_verdict_is_the_first_and_differences_without_an_interval_are_listed(
    finished_study: StudyRecord,
) -> None:
    judged = with_verdict(finished_study, [("uot", "finetune", "birds", "undecided", True)])
    (only,) = primary_contrasts(judged)
    assert only.target == "birds"
    assert Verdicts().table(judged).texts()[0][2] == "undecided (exploratory)"
    assert interval(replace(only, low=None, high=None, level=None, differences=(0.011, -0.02))) == "+1.1, -2.0"
    assert primary_contrasts(replace(judged, verdict=VerdictRecord(0.01, 2, (2,), ()))) == []


def test_what_it_costs_to_decide_is_told_where_repeats_would_decide(finished_study: StudyRecord) -> None:
    judged = with_verdict(finished_study, [("uot", "finetune", None, "undecided", False)])
    assert judged.verdict is not None
    (said,) = sentences(judged)
    (contrast,) = judged.verdict.contrasts
    assert said == contrast.sentence, "no number of repeats would decide it"

    runs = [run for cell in judged.cells for run in (*cell.trials, *cell.refits)]
    assert {run.repeat for run in runs} == {0}
    repeat_s = sum(run.seconds for run in runs)
    more = replace(contrast, repeats_to_decide=judged.verdict.num_repeats + 100)
    judged = replace(judged, verdict=replace(judged.verdict, contrasts=(more,)))
    cost = f" 100 more repeats would train for about {wording.duration(100 * repeat_s)}, one network at a time."
    assert sentences(judged) == [contrast.sentence + cost]
    assert cost in render_report(judged)
    assert cost in run_notes(judged)[judged.run_id]

    untimed = [replace(c, trials=(), refits=tuple(replace(r, seconds=0.0) for r in c.refits)) for c in judged.cells]
    assert sentences(replace(judged, cells=tuple(untimed))) == [contrast.sentence]
