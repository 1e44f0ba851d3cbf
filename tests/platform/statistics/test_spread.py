import math

import numpy as np
import pytest
from scipy import stats

from pretrieve.errors import StatisticsError
from pretrieve.statistics.contributions import Contributions
from pretrieve.statistics.spread import Spread, average_spread, resplit_spread, spread_of, typical_spread


def table_of(values, weights=None, strata=None):
    values = np.asarray(values, float)
    count = values.shape[1]
    weights = np.full(values.shape, 1 / count) if weights is None else weights
    strata = np.zeros(count, int) if strata is None else np.asarray(strata)
    return Contributions(tuple(f"{image:03}" for image in range(count)), values * (weights > 0), weights, strata)


def unscaled_variance(table):
    spread = spread_of(table)
    return spread.repeat_variance + spread.image_variance


def test_three_repeats_of_four_images_by_hand():
    """Scores 0.5, 0.25, 0.75: S² = 0.0625, so S²/R = 1/48.

    Residuals from the repeat's mean, image by image: (.5 .75 .25), (−.5 −.25 .25), (.5 −.25 .25), (−.5 −.25 −.75). The
    sums of products of different repeats, (Σ)² − Σ², are 1.375, −0.125, −0.125, 1.375: 2.5 in all. With weights 1/4,
    n/(n − 1) = 4/3 and R(R − 1) = 6 the image part is 2.5/16 · 4/3 / 6 = 5/144.
    By mean squares: MS_repeats = 1/4, MS_images = 5/9, MS_residual = 5/36, and (1/4 + 5/9 − 5/36)/12 = 1/18.
    The four products times 4/3/16/6 = 1/72 have the variance (0.75/72)² · 4/3; four of them: 1/1728.
    """
    spread = spread_of(table_of([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]))
    assert spread.repeat_variance == pytest.approx(1 / 48)
    assert spread.image_variance == pytest.approx(5 / 144)
    assert spread.variance == pytest.approx(1 / 18)
    assert spread.image_error == pytest.approx(1 / 1728)
    assert spread.degrees_of_freedom == pytest.approx((1 / 18) ** 2 / ((1 / 48) ** 2 / 2 + 1 / 1728 / 2))
    assert not spread.redrawn


def test_a_complete_table_has_the_mean_squares_variance(rng):
    values = rng.normal(size=(6, 15)) + rng.normal(size=15) + rng.normal(size=(6, 1))
    of_repeats = 15 * values.mean(axis=1).var(ddof=1)
    of_images = 6 * values.mean(axis=0).var(ddof=1)
    residuals = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    of_residuals = (residuals**2).sum() / (5 * 14)
    expected = (of_repeats + of_images - of_residuals) / (15 * 6)
    assert unscaled_variance(table_of(values)) == pytest.approx(expected)


def drawn_weights(rng, strata, num_repeats, num_tested):
    weights = np.zeros((num_repeats, len(strata)))
    for row in weights:
        tested = np.concatenate([rng.permutation(np.flatnonzero(strata == each))[:num_tested] for each in set(strata)])
        row[tested] = 1 / len(tested)
    return weights


def designs(rng):
    strata = np.repeat([0, 1, 2], [4, 8, 6])
    yield "complete", table_of(np.zeros((4, 9)))
    yield "redrawn", table_of(np.zeros((5, 18)), drawn_weights(rng, np.zeros(18, int), 5, 7))
    yield "classes", table_of(np.zeros((4, 18)), np.tile(1 / 3 / np.bincount(strata)[strata], (4, 1)), strata)
    yield "classes redrawn", table_of(np.zeros((5, 18)), drawn_weights(rng, strata, 5, 3), strata)


@pytest.mark.parametrize("number", range(4), ids=["complete", "redrawn", "classes", "classes redrawn"])
def test_the_variance_has_no_bias(number, rng):
    """The estimate is a quadratic form, so its expectation is the sum of what it gives for each independent effect.

    Effects of unit variance of each image, of each repeat, and of each prediction contribute to the variance of the
    mean score what the weights say.
    """
    table = list(designs(rng))[number][1]
    num_repeats, num_images = table.weights.shape
    shares = table.weights / num_repeats

    def total(effects):
        return sum(unscaled_variance(table_of(effect, table.weights, table.strata)) for effect in effects)

    images = [np.tile(row, (num_repeats, 1)) for row in np.eye(num_images)]
    repeats = [np.tile(row[:, None], (1, num_images)) for row in np.eye(num_repeats)]
    single = np.eye(num_repeats * num_images).reshape(-1, num_repeats, num_images)
    assert total(images) == pytest.approx((shares.sum(axis=0) ** 2).sum())
    assert total(repeats) == pytest.approx((shares.sum(axis=1) ** 2).sum())
    assert total(single) == pytest.approx((shares**2).sum())


def test_repeats_alone_are_a_paired_t_test(rng):
    """Where images add nothing of their own there is one sample of R scores."""
    effects = rng.normal(size=(7, 1))
    spread = spread_of(table_of(np.tile(effects, (1, 5))))
    assert spread.standard_error == pytest.approx(stats.sem(effects[:, 0]))
    assert spread.degrees_of_freedom == pytest.approx(6)


def test_test_images_of_their_own_make_repeats_independent(rng):
    weights = np.kron(np.eye(4), np.full((1, 5), 0.2))
    table = table_of(rng.random((4, 20)), weights)
    spread = spread_of(table)
    assert spread.standard_error == pytest.approx(stats.sem(table.scores))
    assert (spread.image_variance, spread.degrees_of_freedom) == (0, pytest.approx(3))
    assert spread.redrawn


def test_images_alone_are_a_one_way_layout(rng):
    """Where all repeats predict the same there is one sample of n images."""
    image_effects = rng.normal(size=30)
    assert spread_of(table_of(np.tile(image_effects, (4, 1)))).standard_error == pytest.approx(stats.sem(image_effects))


def test_classes_that_differ_add_nothing_where_the_metric_weighs_them():
    """Right on one class and wrong on the other, in each repeat and image: `mean_per_class` would be the same again."""
    values, strata = np.tile([1.0, 1, 1, 0, 0, 0], (3, 1)), [0, 0, 0, 1, 1, 1]
    assert spread_of(table_of(values, strata=strata)).variance == pytest.approx(0, abs=1e-12)
    assert spread_of(table_of(values)).variance == pytest.approx(0.3 / 6)  # the variance of three ones and zeros: 0.3


def test_classes_with_a_single_image_are_taken_together(rng):
    values, weights = rng.random((3, 7)), np.full((3, 7), 1 / 7)
    merged = spread_of(table_of(values, weights, [0, 0, 0, 1, 1, 2, 3]))
    assert merged == spread_of(table_of(values, weights, [0, 0, 0, 1, 1, 2, 2]))


def test_a_lone_class_with_a_single_image_joins_all(rng):
    values = rng.random((3, 4))
    assert spread_of(table_of(values, strata=[0, 0, 0, 1])) == spread_of(table_of(values))


def test_a_negative_image_part_counts_as_zero_and_costs_degrees_of_freedom():
    spread = Spread(10, 4.0, 9, image_variance=-1.0, image_error=2.0)
    assert spread.variance == 4.0
    assert spread.degrees_of_freedom == pytest.approx(16 / (16 / 9 + 1))


def test_a_negative_image_part_occurs():
    spread = spread_of(table_of([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]))
    assert spread.image_variance < 0
    assert spread.variance == spread.repeat_variance
    assert spread.degrees_of_freedom <= 3


def test_scores_that_agree_by_chance_are_not_certain():
    """Each repeat is right on one image of three, always another: the scores are equal, the predictions are not.

    Squares of residuals: 3 · (4/9 + 1/9 + 1/9)/9 = 2/9; each image's residuals have a sum of 0. Over R(R − 1): 1/27.
    """
    assert spread_of(table_of(np.eye(3))).repeat_variance == pytest.approx(1 / 27)


@pytest.mark.parametrize("count", [1, 2])
def test_below_three_repeats_nothing_is_known(count):
    assert not spread_of(table_of(np.eye(4)[:count])).known


def test_one_test_image_tells_nothing_of_others():
    spread = spread_of(table_of([[1], [0], [1]]))
    assert not spread.known
    assert math.isinf(spread.image_variance)


def test_the_order_of_repeats_and_images_does_not_matter(rng):
    table = list(designs(rng))[3][1]
    values = rng.random(table.values.shape)
    repeats, images = rng.permutation(5), rng.permutation(18)
    moved = table_of(values[repeats][:, images], table.weights[repeats][:, images], table.strata[images])
    spread, of_moved = spread_of(table_of(values, table.weights, table.strata)), spread_of(moved)
    assert of_moved.variance == pytest.approx(spread.variance)
    assert of_moved.degrees_of_freedom == pytest.approx(spread.degrees_of_freedom)


def test_scores_in_points_have_100_times_the_error(rng):
    values = rng.random((4, 12))
    spread, in_points = spread_of(table_of(values)), spread_of(table_of(100 * values + 3))
    assert in_points.standard_error == pytest.approx(100 * spread.standard_error)
    assert in_points.degrees_of_freedom == pytest.approx(spread.degrees_of_freedom)


def test_more_repeats_shrink_their_own_part_alone():
    spread = Spread(5, 4.0, 4, image_variance=1.0, image_error=0.1).with_repeats(20)
    assert (spread.repeat_variance, spread.image_variance, spread.repeat_df) == (1.0, 1.0, 19)


def test_nadeau_and_bengios_correction_by_formula(rng):
    scores = rng.random(12)
    spread = resplit_spread(scores, num_train=80, num_test=20)
    assert spread.standard_error == pytest.approx(math.sqrt((1 / 12 + 20 / 80) * np.var(scores, ddof=1)))
    assert spread.degrees_of_freedom == pytest.approx(11)
    assert not resplit_spread(scores[:2], num_train=80, num_test=20).known


def test_re_splits_need_images():
    with pytest.raises(StatisticsError, match="num_test 0"):
        resplit_spread(np.ones(3), num_train=1, num_test=0)


def test_the_mean_of_two_targets_is_welchs():
    """Two independent samples of repeats: a half of the standard error of Welch's difference, with its degrees."""
    rng = np.random.default_rng(5)
    first, second = rng.normal(0, 1, (6, 1)), rng.normal(0, 4, (6, 1))
    spread = average_spread([spread_of(table_of(np.tile(scores, (1, 3)))) for scores in (first, second)])
    welch = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert spread.degrees_of_freedom == pytest.approx(welch.df)
    assert 2 * spread.standard_error == pytest.approx(abs((first.mean() - second.mean()) / welch.statistic))


def test_image_parts_of_targets_add():
    parts = [Spread(5, 1.0, 4, image_variance=2.0, image_error=3.0), Spread(5, 0.0, 4, image_variance=-1.0)]
    spread = average_spread(parts)
    assert (spread.image_variance, spread.image_error) == (0.25, 3 / 16)


def test_targets_without_any_variance_average():
    assert average_spread([Spread(3, 0.0, 2)] * 2).variance == 0


def test_one_unknown_target_leaves_the_average_unknown():
    assert not average_spread([Spread(2, math.inf, 1), Spread(2, math.inf, 1)]).known


def test_targets_have_the_same_repeats():
    with pytest.raises(StatisticsError, match=r"are \[3, 4\]"):
        average_spread([Spread(3, 1.0, 2), Spread(4, 1.0, 3)])


def test_a_typical_spread_is_that_of_such_studies(rng):
    """Values whose standard deviations are given: 400 studies of 8 repeats and 50 images."""
    studies = [rng.normal(0, 2, (8, 1)) + rng.normal(0, 5, 50) for _ in range(400)]
    measured = np.mean([spread_of(table_of(values)).variance for values in studies])
    assert typical_spread(2, 5, 50).with_repeats(8).variance == pytest.approx(measured, rel=0.1)


def test_a_typical_spread_needs_a_spread():
    with pytest.raises(StatisticsError, match="repeat_sd > 0"):
        typical_spread(0, 0.2, 100)
