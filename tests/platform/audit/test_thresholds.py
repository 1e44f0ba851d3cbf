import numpy as np
import pytest

from pretrieve.audit.calibration import choose_threshold
from pretrieve.errors import UserError


def test_line_lies_half_way_between_what_recall_needs_and_the_bound_allows():
    copies, others = np.arange(100), np.arange(200, 1200)
    chosen = choose_threshold(copies, others, recall=0.9, max_false_alarm_rate=0.01)
    assert chosen.value == (89 + 210) / 2
    assert chosen.recall == 1.0
    assert chosen.false_alarm_rate == 0.0
    assert chosen.reaches_recall
    assert (chosen.num_copies, chosen.num_others) == (100, 1000)


def test_slack_says_where_between_the_line_lies():
    settings = {"recall": 1.0, "max_false_alarm_rate": 0.0}
    lines = [
        choose_threshold(np.arange(11), np.arange(20, 30), **settings, slack=slack).value for slack in (0, 0.2, 0.9)
    ]
    assert lines == [10, 12, 19]


def test_bound_on_false_alarms_comes_before_recall():
    copies, others = np.arange(0, 100), np.arange(50, 150)
    chosen = choose_threshold(copies, others, recall=0.95, max_false_alarm_rate=0.1)
    assert not chosen.reaches_recall
    assert chosen.false_alarm_rate == 0.1
    assert chosen.recall == 0.6


def test_similarities_are_distances_turned_round(rng):
    copies, others = rng.normal(1, 1, 500), rng.normal(4, 1, 5000)
    settings = {"recall": 0.9, "max_false_alarm_rate": 0.02}
    distance = choose_threshold(copies, others, **settings)
    similarity = choose_threshold(-copies, -others, **settings, is_similarity=True)
    assert similarity.value == -distance.value
    assert similarity.recall == distance.recall
    assert distance.recall == pytest.approx((copies <= distance.value).mean())


def test_chosen_line_keeps_its_promises_on_new_draws(rng):
    chosen = choose_threshold(rng.normal(0, 1, 4000), rng.normal(6, 1, 40_000), recall=0.99, max_false_alarm_rate=0.001)
    assert chosen.reaches_recall
    assert (rng.normal(0, 1, 4000) <= chosen.value).mean() > 0.985
    assert (rng.normal(6, 1, 40_000) <= chosen.value).mean() < 0.002


def test_without_a_false_alarm_the_bound_is_that_of_three():
    chosen = choose_threshold(np.zeros(5), np.ones(600), recall=1, max_false_alarm_rate=0)
    assert chosen.false_alarm_rate == 0
    assert chosen.false_alarm_bound == 3 / 600


@pytest.mark.parametrize(("copies", "others", "words"), [([], [1], "there are 0 and 1"), ([1], [], "1 and 0")])
def test_without_images_of_both_kinds_nothing_is_chosen(copies, others, words):
    with pytest.raises(UserError, match=words):
        choose_threshold(np.array(copies), np.array(others), recall=1, max_false_alarm_rate=0)
