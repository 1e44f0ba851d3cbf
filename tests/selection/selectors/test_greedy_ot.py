import numpy as np
import ot
import pytest

from pretrieve_selection import COSTS, SelectionSettings
from pretrieve_selection.selectors.greedy_ot import GreedyOtSelector


@pytest.mark.parametrize("cost_name", sorted(COSTS))
def test_score_is_minus_the_exact_transport_distance_of_the_group_alone(rng, cost_name):
    source, target = rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    settings = SelectionSettings(greedy_cost=cost_name)
    selection = GreedyOtSelector().select(source, target, top_k=2, settings=settings, rng=rng)
    cost = COSTS[cost_name](source, target, cost_scale=1.0)
    exact = [ot.emd2(np.ones(1), np.full(3, 1 / 3), cost[group : group + 1]) for group in range(6)]
    np.testing.assert_allclose(selection.scores, -np.array(exact), rtol=1e-12)


def test_cost_scale_and_the_cost_of_uot_change_nothing(rng):
    source, target = rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    first, second = (
        GreedyOtSelector().select(source, target, top_k=2, settings=settings, rng=rng)
        for settings in (SelectionSettings(), SelectionSettings(cost="l2", cost_scale=7.0))
    )
    np.testing.assert_equal(vars(first), vars(second))
