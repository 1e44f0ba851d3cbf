"""The card of a registered model, of the made-up study."""

from __future__ import annotations

from dataclasses import replace

from pretrieve.records import ChoiceRecord
from pretrieve.records.verdict import ContrastVerdict, VerdictRecord
from pretrieve.testing.study_records import finished_study
from pretrieve_dashboards import render_model_card


def test_a_card_says_what_a_model_is_made_from_how_well_it_does_and_where_that_ends() -> None:
    study = finished_study()
    cell = study.cell("birds", "uot")
    sayings = [("birds", "uot is better on birds."), (None, "uot is better on average."), ("other", "Not of birds.")]
    contrasts = tuple(
        ContrastVerdict("uot", "finetune", target, "better", sentence, (0.1,), 0.1, 0.05, 0.15, 0.95)
        for target, sentence in sayings
    )
    study = replace(study, verdict=VerdictRecord(0.01, 5, (5,), contrasts))
    cell = replace(cell, choices=(ChoiceRecord(0, {"lr": 0.1}, 0.75, 1.234),))
    shares = [("owl", 12, 0.75), ("<b>kite</b>", 18, 1.0)]
    card = render_model_card(
        study, cell, cell.refits[0], class_shares=shares, source="ImageNet", licences={"birds": "CC BY 4.0"}
    )
    assert card.startswith("# study · birds\n\nA classifier of images in 3 classes")
    for line in (
        "- target: birds, 9 train, 3 val, 30 test images",
        "- reused of the source ImageNet: 30 images of 3 selected among 1,000, the first: $x$ owl $y$, &lt;script&gt;",
        "- row: uot",
        "- this model: 90.0 % top-1 accuracy",
        "- mean of 3 refits: 90.0 ± 1.2 % (90.0, 90.0, 90.0)",
        "## Verdict of the study, from 5 repeats\n\n- uot is better on birds.\n- uot is better on average.\n\n",
        "| owl | 12 | 75.0 |\n| &lt;b&gt;kite&lt;/b&gt; | 18 | 100.0 |",
        "class scores are divided by 1.23 before the softmax",
        "- source ImageNet: not known here",
        "- target birds: CC BY 4.0",
        "- refit: run run-birds-uot-r11, key birds-uot-r11",
    ):
        assert line in card, card


def test_what_is_not_known_is_left_out_or_said() -> None:
    study = finished_study()
    cell = study.cell("birds", "finetune")
    card = render_model_card(study, cell, cell.refits[0], class_shares=[], source="ImageNet", licences={})
    assert "## Verdict" not in card
    assert "## Classes" not in card
    assert "Probabilities are not calibrated" in card
    assert "- reused of the source ImageNet: no images" in card
