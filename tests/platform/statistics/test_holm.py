import itertools

import pytest

from pretrieve.statistics.holm import holm, holm_in_two


def test_four_tests_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 against 0.0125, 0.0167, 0.025: the third stops it.

    Adjusted: 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 not below the one before.
    """
    tests = holm([0.01, 0.04, 0.03, 0.005])
    assert [test.adjusted for test in tests] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [test.rejected for test in tests] == [True, False, False, True]
    assert [test.level for test in tests] == pytest.approx([0.05 / 3, 0.025, 0.025, 0.0125])


def test_it_is_the_closed_test_of_bonferroni(rng):
    """Brute force: reject where Bonferroni rejects every group of tests that holds it (Marcus et al. 1976)."""
    for _ in range(100):
        p_values = rng.random(4) ** 3
        groups = [group for size in range(1, 5) for group in itertools.combinations(range(4), size)]
        expected = [
            all(p_values[list(group)].min() <= 0.05 / len(group) for group in groups if test in group)
            for test in range(4)
        ]
        assert [test.rejected for test in holm(p_values.tolist())] == expected


def test_what_is_rejected_is_what_its_level_and_its_adjusted_value_say(rng):
    for _ in range(100):
        p_values = (rng.random(5) ** 3).tolist()
        for p_value, test in zip(p_values, holm(p_values), strict=True):
            assert test.rejected == (p_value <= test.level) == (test.adjusted <= 0.05)


def test_the_order_of_tests_does_not_matter(rng):
    p_values, order = rng.random(6).tolist(), rng.permutation(6)
    tests = holm(p_values)
    assert holm([p_values[index] for index in order]) == tuple(tests[index] for index in order)


def test_no_tests_give_none():
    assert holm([]) == ()


def test_a_level_that_is_spent_rejects_nothing():
    (test,) = holm([0.0], level_of=lambda undecided: 0.0)
    assert (test.rejected, test.adjusted) == (False, 1.0)


def in_two(first, second):
    return holm_in_two(first, second, level=0.05, share=0.8, level_of=lambda level: lambda undecided: level / undecided)


def test_a_family_that_is_wholly_rejected_passes_its_share_on():
    (first,), (second,) = in_two([0.039], [0.04])
    assert (first.rejected, second.rejected, second.level) == (True, True, 0.05)
    (first,), (second,) = in_two([0.045], [0.009])
    assert (first.rejected, first.level, second.rejected) == (True, 0.05, True)


def test_until_then_each_has_its_share():
    (first,), (second,) = in_two([0.041], [0.02])
    assert (first.rejected, first.level) == (False, pytest.approx(0.04))
    assert (second.rejected, second.level) == (False, pytest.approx(0.01))
    assert second.adjusted == pytest.approx(0.1)


def test_a_family_without_tests_leaves_the_whole_level():
    assert in_two([0.045], [])[0] == holm([0.045])
    assert in_two([], [0.01, 0.04])[1] == holm([0.01, 0.04])


def test_together_they_are_wrong_in_at_most_a_twentieth(rng):
    wrong = sum(
        any(test.rejected for family in in_two(rng.random(2).tolist(), rng.random(6).tolist()) for test in family)
        for _ in range(4000)
    )
    assert 140 <= wrong <= 230
