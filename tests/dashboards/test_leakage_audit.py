"""What the leakage audit found, also where it found nothing or is not done with every target."""

from __future__ import annotations

from dataclasses import replace

from pretrieve.records import AuditRecord, LeakRecord, StudyRecord
from pretrieve_dashboards.report import render_report
from pretrieve_dashboards.views.leaks import LeakageAudit

PAIRS = tuple(
    LeakRecord(image, test, "same", 0.9, 0.9, 0.9, 1.0, 3, f"{image}.png", f"{test}.png")
    for image, test in ((1, 5), (1, 6), (2, 5), (4, 6))
)
SOURCE = AuditRecord("birds", "source", PAIRS, 120_000, ("4 leaks", "hash distance at most 20"))
OWN = AuditRecord("birds", "train", (), 900, ("0 leaks",))


def test_each_side_of_a_target_has_a_row_with_its_counts_and_its_fate(finished_study: StudyRecord) -> None:
    found = LeakageAudit().table(replace(finished_study, audits=(SOURCE, OWN)))
    assert found.texts() == [
        ["birds", "reused source images", "3", "2", "4", "120,000", "kept"],
        ["birds", "the target's training images", "0", "0", "0", "900", "no leaks found"],
    ]
    dropping = replace(finished_study, audits=(SOURCE,), settings={"audit": {"enabled": True, "drop_leaks": True}})
    assert LeakageAudit().table(dropping).texts()[0][-1] == "left out"


def test_report_shows_the_audit_and_what_decided(finished_study: StudyRecord) -> None:
    html = render_report(replace(finished_study, audits=(SOURCE,)))
    assert "The leakage audit" in html
    assert "hash distance at most 20" in html
    assert "120,000" in html


def test_a_study_without_an_audit_says_nothing_of_one(finished_study: StudyRecord) -> None:
    assert not LeakageAudit().applies(finished_study)
    assert not LeakageAudit().lists(finished_study)
    assert "The leakage audit" not in render_report(finished_study)
