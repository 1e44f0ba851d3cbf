import numpy as np
import pytest

from pretrieve_selection import COSTS, SelectionSettings
from pretrieve_selection.selectors.nearest import NearestSelector


@pytest.mark.parametrize("cost_name", sorted(COSTS))
def test_score_is_minus_the_distance_to_the_nearest_target_class(rng, cost_name):
    source, target = rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    settings = SelectionSettings(cost=cost_name, cost_scale=0.01)
    selection = NearestSelector().select(source, target, top_k=2, settings=settings, rng=rng)
    one_by_one = [
        min(COSTS[cost_name](group[None], other[None], cost_scale=1.0)[0, 0] for other in target) for group in source
    ]
    np.testing.assert_allclose(selection.scores, -np.array(one_by_one), atol=1e-14)
