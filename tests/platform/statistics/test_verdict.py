import math

import numpy as np
import pytest

from pretrieve.errors import StatisticsError
from pretrieve.statistics import Contrast, Estimate, Spread, verdicts
from pretrieve.statistics.looks import nominal_level


def contrast(points, error=0.1, target="flowers", **spread):
    """A contrast with this difference and standard error in points, of ten repeats unless `spread` says otherwise."""
    scores = np.full(10, points / 100)
    return Contrast("uot", "finetune", target, Estimate(scores, Spread(10, (error / 100) ** 2, 9, **spread)))


def verdict(*arguments, **settings):
    return verdicts([contrast(*arguments, **settings)])[0]


def test_each_word_by_hand():
    """Ten repeats: t(0.975, 9) = 2.262. With an error of 0.1 points intervals are ± 0.23, with 1.0 they are ± 2.26."""
    assert verdict(3.0, 1.0).word == "better"
    assert verdict(-3.0, 1.0).word == "worse"
    assert verdict(0.2, 0.1).word == "equivalent"
    assert verdict(0.5, 0.1).word == "better, by less than 1.0 points"
    assert verdict(-0.5, 0.1).word == "worse, by less than 1.0 points"
    assert verdict(2.0, 1.0).word == "undecided"
    assert verdict(0.9, 0.1).word == "better"


def test_a_sentence_has_rows_target_numbers_and_interval():
    assert verdict(3.0, 1.0).sentence == (
        "uot is better than finetune on flowers: +3.0 points, 95 % interval +0.7 to +5.3."
    )
    assert verdict(0.2, 0.1, target=None).sentence == (
        "uot and finetune are equivalent on average over the targets, within ± 1.0 points: +0.2 points, 95 % interval "
        "-0.0 to +0.4."
    )
    assert verdict(-0.5, 0.1).sentence.startswith(
        "uot is worse than finetune on flowers, by less than 1.0 points: -0.5"
    )


def test_undecided_for_want_of_repeats():
    said = verdict(2.0, 1.0)
    assert said.limited_by == "repeats"
    # (1.96 + 0.84)² · (1 point · √10)² / (2 points)² = 19.6, and two more for Student's t.
    assert said.repeats_to_decide == pytest.approx(21, abs=1)
    assert said.sentence.endswith(
        f"About {said.repeats_to_decide} repeats would decide it; it is limited by the repeats."
    )


def test_undecided_for_want_of_test_images():
    said = verdict(1.0, 0.1, image_variance=0.01**2, image_error=0.0)
    assert (said.limited_by, said.repeats_to_decide) == ("test images", None)
    assert said.sentence.endswith(
        "No number of repeats would decide it: the test images alone leave too wide an interval."
    )


def test_redrawn_test_images_are_limited_by_the_pool():
    assert verdict(1.0, 0.1, image_variance=0.01**2, image_error=0.0, redrawn=True).limited_by == "pool"


def test_what_is_decided_has_no_limit():
    said = verdict(3.0, 1.0)
    assert (said.limited_by, said.repeats_to_decide) == (None, None)


def test_two_repeats_are_listed():
    two = Contrast("uot", "finetune", "flowers", Estimate(np.array([0.01, 0.03]), Spread(2, math.inf, 1)))
    (said,) = verdicts([two])
    assert (said.word, said.interval, said.limited_by, said.repeats_to_decide) == ("undecided", None, "repeats", None)
    assert said.sentence == (
        "It is undecided whether uot differs from finetune on flowers: the differences are +1.0, +3.0 points, too few "
        "to give an interval. An interval needs at least 3 repeats and 2 test images."
    )


def test_one_test_image_is_undecided():
    assert verdict(100, 0.0, image_variance=math.inf, image_error=math.inf).limited_by == "test images"


def test_rows_that_never_differ_are_equivalent():
    said = verdict(0.0, 0.0)
    assert (said.word, said.differs.adjusted, said.equals.adjusted) == ("equivalent", 1, 0)


def test_intervals_are_at_the_level_that_decides(rng):
    said = verdicts([contrast(points, 1.0, target) for points in (3.5, 2.9, 1.0, -6.0) for target in (None, "flowers")])
    for each in said:
        low, high, *_ = each.interval
        assert (each.direction is not None) == (low > 0 or high < 0)
        low, high, *_ = each.equivalence_interval
        assert each.equivalent == (low > -0.01 and high < 0.01)


def test_averages_and_single_targets_are_two_families():
    """One average and four targets: 0.04, and 0.01 shared among four until the average is decided, then 0.05."""
    targets = [contrast(1.0, 1.0, target) for target in "abcd"]
    undecided = verdicts([contrast(1.0, 1.0, None), *targets])
    assert [said.differs.level for said in undecided] == pytest.approx([0.04, *[0.01 / 4] * 4])
    decided = verdicts([*targets, contrast(9.0, 1.0, None)])
    assert [said.differs.level for said in decided] == pytest.approx([*[0.05 / 4] * 4, 0.04])


def test_looks_lower_the_level():
    (said,) = verdicts([contrast(2.5, 1.0)], looks=[5, 10])
    assert said.differs.level == nominal_level([5, 10])
    assert said.word == "undecided"
    assert verdict(2.5, 1.0).word == "better"


def test_turning_the_rows_round_turns_the_verdict():
    for points in (3.0, 0.5, 1.5):
        there, back = verdict(points), verdict(-points)
        assert (there.direction, back.direction) == ("better", "worse")
        assert there.equivalent == back.equivalent
        assert there.interval.low == pytest.approx(-back.interval.high)


def test_the_order_of_contrasts_does_not_matter():
    given = [contrast(points, 1.0, str(points)) for points in (3.0, 0.1, -2.6, 5.0)]
    words = [said.word for said in verdicts(given)]
    assert [said.word for said in verdicts(given[::-1])] == words[::-1]


@pytest.mark.parametrize("settings", [{"margin": 0}, {"level": 1}])
def test_margin_and_level_are_checked(settings):
    with pytest.raises(StatisticsError, match="give the margin in the unit of the scores"):
        verdicts([contrast(1.0)], **settings)
