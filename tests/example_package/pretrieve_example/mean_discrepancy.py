"""A selector that compares the images of a group with those of the target, and not their means alone."""

import numpy as np

from pretrieve_selection import Selection, Selector


class MeanDiscrepancy(Selector):
    """Rank a group by its maximum mean discrepancy to the target (Gretton et al. 2012), the smallest first.

    The kernel is Gaussian on features of unit length, approximated by random Fourier features (Rahimi and Recht 2007).

    Args:
      width: of the kernel, > 0.
      num_waves: random features, ≥ 1.
    """

    name = "mean_discrepancy"
    needs = ("features",)

    def __init__(self, width: float = 1.0, num_waves: int = 256) -> None:
        if width <= 0:
            raise ValueError(f"width must be > 0, but is {width}")
        self.width, self.num_waves = width, num_waves

    def _select(self, problem, *, top_k, settings, rng):
        waves = rng.normal(scale=1 / self.width, size=(problem.source.features.shape[1], self.num_waves))
        source, target = (self._means(side, waves) for side in (problem.source, problem.target))
        scores = -((source - target.mean(axis=0)) ** 2).sum(axis=1)
        return Selection.from_scores(self.name, scores, top_k=top_k)

    def _means(self, side, waves):
        sums = np.zeros((side.num_groups, 2 * self.num_waves))
        for start in range(0, len(side.features), 4096):
            rows = slice(start, start + 4096)
            block = np.asarray(side.features[rows], dtype=np.float64)
            phases = block / np.linalg.norm(block, axis=1, keepdims=True) @ waves
            np.add.at(sums, side.groups[rows], np.hstack([np.cos(phases), np.sin(phases)]))
        counts = np.bincount(side.groups, minlength=side.num_groups)[:, None]
        return sums / counts / np.sqrt(self.num_waves)
