"""Gain by target, and the study's answer in a sentence."""

from __future__ import annotations

from dataclasses import replace

from verdicts_of_studies import with_verdict

from pretrieve.records import AuditRecord, StudyRecord
from pretrieve_dashboards.views.where_it_helps import WhereItHelps, answer, gains


def test_targets_are_ordered_by_gain_beside_size_and_leaks(finished_study: StudyRecord) -> None:
    birds, other = (target.name for target in finished_study.targets)
    judged = with_verdict(
        finished_study,
        [
            ("uot", "finetune", None, "better", False),
            ("uot", "random", None, "undecided", False),
            ("uot", "finetune", birds, "undecided", False),
            ("uot", "finetune", other, "better", False),
            ("uot", "random", birds, "worse", False),
        ],
    )
    assert judged.verdict is not None
    contrasts = [replace(each, mean=0.05) if each.target == other else each for each in judged.verdict.contrasts]
    verdict = replace(judged.verdict, contrasts=tuple(contrasts))
    audit = AuditRecord(birds, "source", (), 100, ())
    first, second = judged.targets
    targets = (replace(first, source_distance=0.1234), second)
    study = replace(judged, verdict=verdict, audits=(audit,), targets=targets)
    assert WhereItHelps().applies(study)
    assert WhereItHelps().table(study).texts() == [
        [other, "+5.0", "+0.5 to +3.5 (96 %)", "better", "2", "6", "—", "—"],
        [birds, "+2.0", "+0.5 to +3.5 (96 %)", "undecided", "3", "12", "0.123", "0"],
    ]
    assert WhereItHelps().text(study) == f"uot is better than finetune on {other}; undecided on 1 of 2 targets."


def test_the_sentence_names_each_direction(finished_study: StudyRecord) -> None:
    def said(*words: str) -> str:
        pairs = [("uot", "finetune", f"t{number}", word, False) for number, word in enumerate(words)]
        return answer(gains(with_verdict(finished_study, pairs)))

    assert said("better, by less than 1.0 points", "worse", "equivalent", "better") == (
        "uot is better than finetune on t0 and t3, worse than finetune on t1, equivalent on t2; undecided on 0 of 4 "
        "targets."
    )
    assert said("undecided") == "uot is neither better nor worse than finetune anywhere; undecided on 1 of 1 target."


def test_one_target_and_no_verdict_have_no_such_view(finished_study: StudyRecord) -> None:
    assert not WhereItHelps().applies(finished_study)
    judged = with_verdict(finished_study, [("uot", "finetune", "birds", "better", False)])
    assert not WhereItHelps().applies(replace(judged, targets=judged.targets[:1]))
