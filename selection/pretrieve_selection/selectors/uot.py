"""Select by unbalanced optimal transport: the method of the paper (section 3.2)."""

from typing import Any

import numpy as np

from pretrieve_selection.image_scores import ImageScores, as_numpy
from pretrieve_selection.image_transport import solve_image_transport
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings
from pretrieve_selection.unbalanced_transport import solve_unbalanced_transport


class UotSelector(Selector):
    """Rank a group by the mass it sends to the target in the plan of eq. 5, with unit masses on both sides.

    The score is log P·1, which keeps the order where the masses themselves underflow. Of the settings it reads `cost`,
    `cost_scale` and the transport fields. A selection that did not converge raises no error; its `converged` is False.
    """

    name = "uot"
    units = ("class", "cluster", "image")
    scores_are_log_masses = True

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        cost = problem.cost_matrix(settings.cost, cost_scale=settings.cost_scale)
        plan = solve_unbalanced_transport(cost, settings=settings)
        return Selection.from_scores(
            self.name, plan.log_source_marginal, top_k=top_k, converged=plan.converged, iterations=plan.iterations
        )

    def score_images(
        self,
        source_features: Any,
        target_features: Any,
        *,
        settings: SelectionSettings,
        rng: np.random.Generator,
        num_threads: int = 1,
    ) -> ImageScores:
        transport = solve_image_transport(source_features, target_features, settings=settings, num_threads=num_threads)
        return ImageScores(as_numpy(transport.log_source_marginal), transport.converged, transport.iterations)
