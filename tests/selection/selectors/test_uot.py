import numpy as np
import pytest

from pretrieve_selection import (
    COSTS,
    SelectionInputError,
    SelectionSettings,
    solve_unbalanced_transport,
)
from pretrieve_selection.selectors.uot import UotSelector


@pytest.mark.parametrize("cost_name", sorted(COSTS))
def test_scores_are_the_log_masses_of_the_plan(rng, cost_name):
    source, target = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    settings = SelectionSettings(cost=cost_name, cost_scale=0.05, source_penalty=2.0, entropy_weight=0.5)
    selection = UotSelector().select(source, target, top_k=4, settings=settings, rng=rng)
    plan = solve_unbalanced_transport(
        COSTS[cost_name](source, target, cost_scale=0.05), settings=settings, method="log"
    )
    np.testing.assert_allclose(selection.scores, plan.log_source_marginal, atol=1e-9)


def test_selection_that_did_not_converge_says_so(rng):
    settings = SelectionSettings(max_iterations=2)
    source, target = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    selection = UotSelector().select(source, target, top_k=4, settings=settings, rng=rng)
    assert not selection.converged
    assert selection.iterations == 2


def test_zero_vector_is_an_error_that_names_the_row(rng):
    source = rng.normal(size=(4, 3))
    source[3] = 0.0
    with pytest.raises(SelectionInputError, match=r"row 3 of the source \(group 'd'\)"):
        UotSelector().select(
            source, source[:2], top_k=1, settings=SelectionSettings(), rng=rng, source_names=list("abcd")
        )


def test_every_target_class_finds_a_group_where_nearest_groups_crowd_on_one(rng):
    crowd = np.array([1.0, 0.0]) + 0.01 * rng.normal(size=(5, 2))
    source = np.vstack([crowd, [[0.3, 1.0]]])
    target = np.array([[1.0, 0.0], [0.0, 1.0]])
    selection = UotSelector().select(source, target, top_k=2, settings=SelectionSettings(), rng=rng)
    assert 5 in selection.groups
