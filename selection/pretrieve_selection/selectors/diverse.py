"""Select by unbalanced optimal transport, and pass over groups that resemble those chosen before."""

import math

import numpy as np

from pretrieve_selection.costs import cosine_cost
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.selectors.uot import UotSelector
from pretrieve_selection.settings import SelectionSettings


class DiverseSelector(Selector):
    """Take one group after another by its mass in the plan of `uot`, less a penalty for what is chosen already.

    The next group is the one of the largest

        log (P·1)_i − diversity · max(0, max_j cos(a_i, a_j)),  j: the groups chosen before,

    and this is its score. So a copy of a chosen group counts as one with e^−diversity of its mass, and 0 gives the
    ranking of `uot`. This is maximal marginal relevance (Carbonell & Goldstein 1998) with log-masses as relevance.
    Penalties only grow, so the scores fall along the ranking.

    It reads the settings that `uot` reads, and holds K × K cosines in memory.

    Args:
      diversity: finite, ≥ 0, in the unit of the log-masses. For comparison, the costs of the transport weigh a cosine
        with 1 / cost_scale, by default 100.

    Raises:
      SelectionInputError: diversity is out of its range; when it selects, a group has the zero vector as centroid.
    """

    name = "diverse"

    def __init__(self, diversity: float = 10.0) -> None:
        if not (math.isfinite(diversity) and diversity >= 0):
            raise SelectionInputError(f"diversity must be finite and >= 0, but is {diversity}; 0 selects as uot does")
        self._diversity = diversity

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        by_mass = UotSelector()._select(problem, top_k=top_k, settings=settings, rng=rng)
        centroids, names = problem.source.centroids, problem.source.names_for_errors
        cosines = 1.0 - cosine_cost(centroids, centroids, cost_scale=1.0, source_names=names, target_names=names)
        largest, scores = np.zeros(len(centroids)), np.empty(len(centroids))
        is_left = np.ones(len(centroids), dtype=bool)
        for _ in centroids:
            values = np.where(is_left, by_mass.scores - self._diversity * largest, -np.inf)
            chosen = int(values.argmax())
            scores[chosen], is_left[chosen] = values[chosen], False
            largest = np.maximum(largest, cosines[chosen])
        return Selection.from_scores(
            self.name, scores, top_k=top_k, converged=by_mass.converged, iterations=by_mass.iterations
        )
