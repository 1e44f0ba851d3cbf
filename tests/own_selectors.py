"""Selectors as a user would write them, which workers find by names such as `own_selectors:OfMoments`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pretrieve_selection import Selection, SelectionProblem, Selector


class Sound(Selector):
    """Rank by one coordinate of the centroid."""

    name = "sound"

    def __init__(self, column: int = 0) -> None:
        self.column = column

    def score(self, problem: SelectionProblem) -> Any:
        """Return the scores of all groups."""
        return problem.source.centroids[:, self.column]

    def _select(self, problem: SelectionProblem, *, top_k: int, settings: Any, rng: np.random.Generator) -> Selection:
        return Selection.from_scores(self.name, self.score(problem), top_k=top_k)


class OfMoments(Sound):
    """Rank by the distance of the means after whitening with the source's pooled covariance (Mahalanobis)."""

    name = "of_moments"
    needs = ("moments",)

    def score(self, problem: SelectionProblem) -> Any:
        source, target = problem.source.moments, problem.target.moments
        ridge = 1e-6 * np.trace(source.covariance) * np.eye(len(source.covariance))
        differences = source.means[:, None] - target.means
        solved = np.linalg.solve(source.covariance + ridge, differences[..., None])[..., 0]
        return -(differences * solved).sum(axis=-1).min(axis=1)


class OfFeatures(Sound):
    """Rank by the maximum mean discrepancy between the images of a group and those of the target."""

    name = "of_features"
    needs = ("features",)

    def score(self, problem: SelectionProblem) -> Any:
        source, target = problem.source, problem.target
        members = [source.features[source.groups == group] for group in range(source.num_groups)]
        return [2 * _similarity(each, target.features) - _similarity(each, each) for each in members]


class OfNames(Sound):
    """Rank by the number at the end of the class's name, the lowest first."""

    name = "of_names"
    units = ("class",)
    needs = ("names",)

    def score(self, problem: SelectionProblem) -> Any:
        return [-float(name.split()[-1]) for name in problem.source.names]


def _similarity(first: Any, second: Any) -> float:
    """Return the mean of a Gaussian kernel over all pairs."""
    return float(np.exp(-((first[:, None] - second) ** 2).sum(axis=-1)).mean())
