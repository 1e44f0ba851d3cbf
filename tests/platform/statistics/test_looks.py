import numpy as np
import pytest
from scipy import stats

from pretrieve.errors import StatisticsError
from pretrieve.statistics.looks import nominal_level, spent_share

LOOKS = (5, 10, 20, 30, 60, 100)


def share_that_says_so(looks, scores, level=0.05, shared=0.0):
    """Return the share of (studies, repeats) whose t test rejects at any look; `shared` is an error of the mean.

    Its variance is known and added to that of the mean, with the degrees of freedom of Satterthwaite.
    """
    rejected = np.zeros(len(scores), bool)
    for number, look in enumerate(looks):
        part = scores[:, :look]
        of_repeats = part.var(axis=1, ddof=1) / look
        variance = of_repeats + shared**2
        freedom = (look - 1) * (variance / of_repeats) ** 2
        p_values = 2 * stats.t.sf(np.abs(part.mean(axis=1)) / np.sqrt(variance), freedom)
        rejected |= p_values <= nominal_level(looks[: number + 1], level)
    return rejected.mean()


@pytest.mark.parametrize("looks", [LOOKS, (3, 4, 5, 6, 7, 8), (10, 100), (30,)], ids=str)
def test_studies_without_a_difference_spend_what_is_planned(looks, rng):
    """20,000 studies drawn anew, not those that gave the levels."""
    share = share_that_says_so(looks, rng.standard_normal((20_000, looks[-1])))
    assert share == pytest.approx(0.05 * spent_share(looks[-1]), abs=0.004)


@pytest.mark.parametrize("shared", [0.1, 0.3, 1.0])
def test_with_shared_test_images_the_level_holds(shared, rng):
    """Less is spent than with independent looks, but Satterthwaite's approximation costs a little at five repeats."""
    scores = rng.standard_normal((20_000, 100)) + shared * rng.standard_normal((20_000, 1))
    assert share_that_says_so(LOOKS, scores, shared=shared) <= 0.05


def test_a_low_level_at_five_repeats_is_kept_within_a_half(rng):
    """The worst case of Satterthwaite's approximation; docs/concepts/statistics.md names it."""
    scores = rng.standard_normal((60_000, 5)) + 0.2 * rng.standard_normal((60_000, 1))
    share = share_that_says_so((5,), scores, shared=0.2)
    assert nominal_level([5]) < share < 1.6 * nominal_level([5])


def test_averages_over_targets_spend_no_more(rng):
    """With four targets there are four times the degrees of freedom."""
    targets = rng.standard_normal((4, 20_000, 100))
    rejected = np.zeros(20_000, bool)
    for number, look in enumerate(LOOKS):
        part = targets[:, :, :look]
        errors = np.sqrt((part.var(axis=2, ddof=1) / look).sum(axis=0))
        p_values = 2 * stats.t.sf(np.abs(part.mean(axis=2).sum(axis=0)) / errors, 4 * (look - 1))
        rejected |= p_values <= nominal_level(LOOKS[: number + 1])
    assert rejected.mean() <= 0.05 * spent_share(100) + 0.003


def test_a_first_look_spends_its_share():
    assert nominal_level([10]) == pytest.approx(0.05 / 2)
    assert nominal_level([30], 0.01) == pytest.approx(0.01 * 0.75)


def test_two_looks_with_many_repeats_are_the_normal_distributions():
    """With 1,000 and 2,000 repeats z's correlate by √(1/2); the second level makes both spend what is planned."""
    first, both = (0.05 * spent_share(number) for number in (1000, 2000))
    thresholds = [stats.norm.isf(level / 2) for level in (first, nominal_level([1000, 2000]))]
    normal = stats.multivariate_normal(cov=[[1, 0.5**0.5], [0.5**0.5, 1]])
    inside = normal.cdf(thresholds, lower_limit=[-threshold for threshold in thresholds])
    assert 1 - inside == pytest.approx(both, abs=1e-4)


def test_looks_below_three_repeats_neither_test_nor_spend():
    assert nominal_level([1, 2]) == 0
    assert nominal_level([1, 2, 5]) == nominal_level([5])


def test_levels_are_the_same_each_time():
    assert nominal_level(LOOKS) == nominal_level(list(LOOKS))


@pytest.mark.parametrize("looks", [[], [5, 5], [10, 5]])
def test_looks_rise(looks):
    with pytest.raises(StatisticsError, match="leave out looks that add no repeats"):
        nominal_level(looks)
