"""What `plan` says of the differences that repeats can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pretrieve.cli.plan_command import _power
from pretrieve.errors import UserError
from pretrieve.records.forecast import CellForecast, PowerForecast
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver
from pretrieve.statistics import average_spread, detection_power, nominal_level, typical_spread
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_power import TYPICAL_IMAGE_SD, TYPICAL_REPEAT_SD, forecast_power

CELLS = (
    CellForecast("tiny-a", "finetune", 20, 0, 10, 0, image_passes=0, trial_s=5.0, refit_s=10.0),
    CellForecast("tiny-a", "uot", 20, 0, 10, 0, image_passes=0, trial_s=15.0, refit_s=20.0),
)


def forecast(settings: StudySettings, detect: float | None = None) -> tuple[PowerForecast, ...]:
    with walking(settings, StudyObserver(), makes=False) as context:
        return forecast_power(context, CELLS, 2, detect)


def test_without_a_pilot_typical_spreads_stand_in(make_settings: Callable[..., StudySettings]) -> None:
    (made,) = forecast(make_settings(repeats={"draws": 10}, name="unseen"), detect=0.05)
    # Both targets have three classes of six test images.
    spread = average_spread([typical_spread(TYPICAL_REPEAT_SD, TYPICAL_IMAGE_SD, 18)] * 2)
    level = nominal_level([10], 0.8 * 0.05)
    assert made.level == pytest.approx(level)
    assert made.detectable is not None
    assert detection_power(spread.with_repeats(10), made.detectable, level) == pytest.approx(0.8, abs=1e-3)
    assert "docs/results/photos.md" in made.basis
    # (20 · 5 + 10 · 10 + 20 · 15 + 10 · 20) s of ten repeats, two trials at a time.
    assert (made.trial_s_a_repeat, made.wall_s_a_repeat) == (70.0, 35.0)
    assert made.repeats_to_detect is None, "of eighteen test images no number of repeats sees five points"


def test_one_look_has_the_whole_level(make_settings: Callable[..., StudySettings]) -> None:
    (many,) = forecast(make_settings(repeats={"draws": 10}, name="unseen"), detect=0.5)
    (one,) = forecast(make_settings(repeats={"draws": 10, "looks": "one"}, name="unseen"), detect=0.5)
    assert one.level == pytest.approx(2 * many.level), "ten repeats spend half of the level"
    assert one.detectable is not None
    assert many.detectable is not None
    assert one.detectable < many.detectable
    assert one.repeats_to_detect is not None
    assert many.repeats_to_detect is not None
    assert one.repeats_to_detect <= many.repeats_to_detect


def test_no_forecast_of_power_without_contrasts_or_repeats(make_settings: Callable[..., StudySettings]) -> None:
    assert forecast(make_settings(name="unseen")) == ()
    assert forecast(make_settings(name="unseen", repeats={"draws": 5}, contrasts=[])) == ()
    with pytest.raises(UserError, match="at most 100 points, of a study that compares rows, but is 150 with 1"):
        forecast(make_settings(name="unseen", repeats={"draws": 5}), detect=1.5)


def test_the_command_says_it_in_points() -> None:
    made = PowerForecast("uot − random", "a pilot", 5, 0.01, 0.016, 0.018, 0.01, None, 0.008, 37, 120.0, 60.0)
    lines = list(_power([made]))
    assert lines == [
        "power 80 %, a pilot",
        "uot − random: 5 repeats see a true difference of 1.6 points, and show equivalence within ± 1.8 points",
        "  equivalent within the margin of 1.0 points, if there is no difference: no number of repeats shows it, the "
        "test images set the limit",
        "  a true difference of 0.8 points: about 37 repeats; 32 more take about 32 min 00 s (1 h 04 min of trials and "
        "refits)",
    ]
    few = replace(made, num_repeats=2, detectable=None, difference=None)
    assert "2 repeats are too few for an interval" in list(_power([few]))[1]
    assert len(list(_power([few]))) == 3
