from __future__ import annotations

import json

from pretrieve.tracking.learning_curve import MAX_POINTS, curve_as_text
from pretrieve.tracking.spool import SpooledEnd, SpooledEpoch, SpooledStart


def test_curve_of_a_long_trial_fits_a_tag_and_keeps_its_ends() -> None:
    epochs = [SpooledEpoch(epoch, 0, {"val/score": epoch / 7_000}) for epoch in range(1, 7_001)]
    text = curve_as_text([SpooledStart("n1", 0), *epochs, SpooledEnd("finished", 0, {}, "")])
    points = json.loads(text)
    assert (points[0], points[-1], len(points)) == ([1, round(1 / 7_000, 5)], [7_000, 1.0], MAX_POINTS)
    assert len(text) < 1_500


def test_refit_that_scores_no_validation_has_an_empty_curve() -> None:
    assert curve_as_text([SpooledEpoch(1, 0, {"train/loss_target": 0.5})]) == "[]"
