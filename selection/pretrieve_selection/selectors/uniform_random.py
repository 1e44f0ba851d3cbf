"""Select uniformly at random: the control of every comparison (section 3.2)."""

from typing import Any

import numpy as np

from pretrieve_selection.image_scores import ImageScores
from pretrieve_selection.selection import Selection
from pretrieve_selection.selectors._base import SelectionProblem, Selector
from pretrieve_selection.settings import SelectionSettings


class RandomSelector(Selector):
    """Draw the groups uniformly without replacement, whatever the target is.

    The score of a group is its draw from [0, 1), so the ranking is a uniform permutation of all groups. With the same
    generator, a smaller top_k selects the beginning of what a larger one selects.
    """

    name = "random"
    units = ("class", "cluster", "image")
    needs = ()
    ranks_by_similarity = False

    def _select(
        self, problem: SelectionProblem, *, top_k: int, settings: SelectionSettings, rng: np.random.Generator
    ) -> Selection:
        return Selection.from_scores(self.name, rng.random(problem.source.num_groups), top_k=top_k)

    def score_images(
        self,
        source_features: Any,
        target_features: Any,
        *,
        settings: SelectionSettings,
        rng: np.random.Generator,
        num_threads: int = 1,
    ) -> ImageScores:
        return ImageScores(rng.random(len(source_features)))
