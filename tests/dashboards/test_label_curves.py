"""What the last labels gave the linear probe, beside what reuse gives."""

from __future__ import annotations

from dataclasses import replace

from verdicts_of_studies import with_verdict

from pretrieve.records import LabelCurve, StudyRecord
from pretrieve_dashboards import render_report
from pretrieve_dashboards.views.label_curves import MoreLabels

CURVE = LabelCurve("birds", "linear_probe", (10, 20, 40), (0.5, 0.625, 0.70), 0.075, 0.0125, 5)


def test_the_last_labels_stand_beside_what_reuse_gives(finished_study: StudyRecord) -> None:
    birds, other = (target.name for target in finished_study.targets)
    judged = with_verdict(
        finished_study, [("uot", "finetune", None, "better", False), ("uot", "finetune", birds, "undecided", False)]
    )
    curves = (
        replace(CURVE, target=birds),
        LabelCurve(other, "linear_probe", (3, 5, 10), (0.4, 0.5, 0.5), 0.0, None, 2),
    )
    study = replace(judged, label_curves=curves)
    view = MoreLabels()
    assert view.table(study).texts() == [
        [birds, "10 → 20 → 40", "50.0", "62.5", "70.0", "+7.5 ± 1.2", "uot − finetune: +2.0 (+0.5 to +3.5 (96 %))"],
        [other, "3 → 5 → 10", "40.0", "50.0", "50.0", "+0.0", "—"],
    ]
    assert view.text(study) == (
        f"On {birds}, 40 labelled images in place of 20 gave the probe +7.5 ± 1.2 points; uot − finetune: +2.0 (+0.5 "
        f"to +3.5 (96 %)). On {other}, 10 labelled images in place of 5 gave the probe +0.0 points."
    )
    (figure,) = view.figures(study)
    assert f"{birds}: 50.0 % with 10, 62.5 % with 20, 70.0 % with 40" in figure.svg
    assert "More labels, or reuse?" in render_report(study)


def test_of_a_single_target_the_verdict_may_be_that_of_the_study(finished_study: StudyRecord) -> None:
    (first, _) = finished_study.targets
    judged = with_verdict(finished_study, [("uot", "finetune", None, "better", False)])
    study = replace(judged, targets=(first,), label_curves=(replace(CURVE, target=first.name),))
    assert "uot − finetune: +2.0" in MoreLabels().text(study)
    assert not MoreLabels().applies(finished_study)
