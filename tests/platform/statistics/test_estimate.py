import numpy as np
import pytest
from scipy import stats

from pretrieve.errors import StatisticsError
from pretrieve.statistics import Estimate, Spread, average_over_targets, contributions, estimate, top1_images
from pretrieve.statistics.estimate import other_targets_interval


def independent(scores):
    """The estimate of scores that share no test image."""
    scores = np.asarray(scores, float)
    count = len(scores)
    return Estimate(scores, Spread(count, float(np.var(scores, ddof=1)) / count, count - 1))


def row(*repeats):
    return estimate(contributions([top1_images("abcd", np.array(correct, bool)) for correct in repeats]))


def test_the_interval_of_a_matrix_worked_out_by_hand():
    """Variance 1/18 and 6.0952 degrees of freedom, as `test_spread.py` works out: t = 2.4377, t/√18 = 0.5746."""
    low, high, level, claim = row([1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]).interval()
    assert (low, high) == pytest.approx((0.5 - 0.5746, 0.5 + 0.5746), abs=1e-4)
    assert (level, claim) == (0.95, "these targets")


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_independent_repeats_have_scipys_interval(level, rng):
    scores = rng.normal(0.8, 0.05, 6)
    low, high, *_ = independent(scores).interval(level)
    assert (low, high) == pytest.approx(stats.t.interval(level, 5, scores.mean(), stats.sem(scores)))


def test_the_test_of_a_difference_is_scipys(rng):
    scores = rng.normal(0.01, 0.02, 8)
    assert independent(scores).p_difference() == pytest.approx(stats.ttest_1samp(scores, 0).pvalue)


@pytest.mark.parametrize("centre", [0.0, 0.004, -0.008, 0.02])
def test_equivalence_is_two_of_scipys_one_sided_tests(centre, rng):
    scores = rng.normal(centre, 0.01, 8)
    below = stats.ttest_1samp(scores, 0.01, alternative="less").pvalue
    above = stats.ttest_1samp(scores, -0.01, alternative="greater").pvalue
    assert independent(scores).p_equivalence(0.01) == pytest.approx(min(1, 2 * max(below, above)))


def test_the_interval_decides_both_tests(rng):
    for _ in range(200):
        difference = independent(rng.normal(rng.normal(0, 0.01), 0.01, 5))
        low, high, *_ = difference.interval(0.95)
        assert (difference.p_difference() <= 0.05) == (low > 0 or high < 0)
        assert (difference.p_equivalence(0.02) <= 0.05) == (low > -0.02 and high < 0.02)


def test_rows_that_never_differ_are_equivalent():
    never = row([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    assert (never.p_difference(), never.p_equivalence(0.01)) == (1, 0)
    assert never.interval()[:3] == (0, 0, 0.95)


def test_a_row_that_is_always_right_where_the_other_is_wrong_is_better():
    always = row([1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1])
    assert (always.p_difference(), always.p_equivalence(0.01)) == (0, 1)


def test_two_repeats_have_no_interval_and_decide_nothing():
    two = row([1, 1, 1, 1], [1, 1, 1, 1])
    assert two.interval() is None
    assert (two.p_difference(), two.p_equivalence(0.01)) == (1, 1)
    assert two.scores.tolist() == [1, 1]


def test_the_average_over_targets_has_less_variance(rng):
    targets = [independent(rng.normal(0, 0.01, 5)) for _ in range(4)]
    average = average_over_targets(targets)
    assert average.mean == pytest.approx(np.mean([target.mean for target in targets]))
    assert average.spread.variance == pytest.approx(sum(target.spread.variance for target in targets) / 16)
    assert average.scores == pytest.approx(np.mean([target.scores for target in targets], axis=0))


def test_one_target_is_its_own_average(rng):
    target = independent(rng.normal(size=5))
    assert average_over_targets([target]).interval()[:2] == pytest.approx(target.interval()[:2])


def test_other_targets_are_a_sample_of_targets(rng):
    means = rng.normal(0.02, 0.01, 5)
    low, high, _, claim = other_targets_interval(means)
    assert claim == "other targets"
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 4, means.mean(), stats.sem(means)))
    assert other_targets_interval(means[:2]) is None
    with pytest.raises(StatisticsError, match="must be finite"):
        other_targets_interval([0.1, float("nan"), 0.2])


def test_about_nineteen_of_twenty_intervals_hold_the_truth(rng):
    """Repeats, images and their noise are of a size; over repeats alone Student's t would hold 75 %."""
    held = 0
    for _ in range(1000):
        values = rng.normal(0, 0.3, (8, 1)) + rng.normal(0, 1, 20) + rng.normal(0, 1, (8, 20))
        images = [str(image) for image in range(20)]
        repeats = [top1_images(images, correct) for correct in values]
        low, high, *_ = estimate(contributions(repeats)).interval()
        held += low <= 0 <= high
    assert 930 <= held <= 970
