"""Divide images that come in groups, such as those of one patient, specimen or clip, without parting a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

MAX_TRIES = 20
"""Divisions that are tried, each from another order of the groups, until no class lies in one part alone."""

_MAX_SWEEPS = 50


def count_classes(labels: Counts, groups: NDArray[np.str_]) -> tuple[Counts, Counts]:
    """Return the images of each class in each group, (G, K) int64, and each image's group in 0 … G − 1, (N,) int64.

    Groups are in the order of their names, so the order of the (N,) images does not matter.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((group_of.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (group_of, labels), 1)
    return counts, group_of


def divide_groups(counts: Counts, shares: NDArray[np.float64], *, seed: int, largest_first: bool = False) -> Counts:
    """Divide groups into parts that each have about their share of every class, and of all images.

    Minimised is Σ_c Σ_p (n_pc − s_p n_c)² / (s_p n_c²), where n_pc counts the images of class c in part p and s_p is
    its share; all images count as one more class. Each group in turn goes where this grows least; then groups move as
    long as a move lowers it. That a class of several groups lies in two parts or more comes before balance. Where this
    fails for all orders of the groups that are tried, as few classes as possible lie in one: see `lies_in_one_part`.

    Args:
      counts: (G, K) images of each class in each group; see `count_classes`.
      shares: (P,) of the parts, > 0, with the sum 1.
      seed: draws the order of the groups.
      largest_first: balances better, but the largest groups get the same places for all seeds.

    Returns:
      (G,) int64, the part of each group. With equal shares and P groups or more, no part is empty.
    """
    rng = np.random.default_rng(seed)
    can_be_divided = (counts > 0).sum(axis=0) > 1
    best, fewest_alone = np.zeros(len(counts), dtype=np.int64), len(can_be_divided) + 1
    for _ in range(MAX_TRIES):
        order = rng.permutation(len(counts))
        if largest_first:
            order = order[np.argsort(-counts[order].sum(1), kind="stable")]
        parts = _Division(counts, shares).divide(order)
        num_alone = int((lies_in_one_part(counts, parts) & can_be_divided).sum())
        if num_alone < fewest_alone:
            best, fewest_alone = parts, num_alone
        if not num_alone:
            break
    return best


def lies_in_one_part(counts: Counts, parts: Counts) -> NDArray[np.bool_]:
    """Return for each class whether all its images are in one part, (K,); a class without images is in none."""
    has = [(counts[parts == part] > 0).any(axis=0) for part in np.unique(parts)]
    alone: NDArray[np.bool_] = np.sum(has, axis=0) == 1
    return alone


class _Division:
    """Groups in parts, while they are being divided."""

    def __init__(self, counts: Counts, shares: NDArray[np.float64]) -> None:
        # All images are one more class, so that the sizes of the parts are balanced too.
        self._counts = np.column_stack([counts, counts.sum(axis=1)])
        self._classes = [np.flatnonzero(row) for row in self._counts]
        self._weights = 1 / np.maximum(self._counts.sum(axis=0), 1) ** 2
        self._shares = shares
        self._held = np.zeros((len(shares), self._counts.shape[1]), dtype=np.int64)

    def divide(self, order: Counts) -> Counts:
        parts = np.zeros(len(self._counts), dtype=np.int64)
        for group in order:
            parts[group] = np.argmin(self._cost_of_adding(group))
            self._held[parts[group]] += self._counts[group]
        for _ in range(_MAX_SWEEPS):
            moved = [self._move(group, parts) for group in order]
            if not any(moved):
                break
        return parts

    def _move(self, group: int, parts: Counts) -> bool:
        """Put a group where it is best; return whether that is another part."""
        before = parts[group]
        self._held[before] -= self._counts[group]
        alone, cost = self._alone_after_adding(group), self._cost_of_adding(group)
        cost[before] -= 1e-9  # rounding moves no group, and so none back and forth
        parts[group] = np.lexsort((cost, alone))[0]
        self._held[parts[group]] += self._counts[group]
        return bool(parts[group] != before)

    def _cost_of_adding(self, group: int) -> NDArray[np.float64]:
        """Return by how much the sum that is minimised grows if a group is added to each part, (P,)."""
        classes = self._classes[group]
        added = self._counts[group, classes]
        growth = (2 * self._held[:, classes] * added + added**2) @ self._weights[classes]
        cost: NDArray[np.float64] = growth / self._shares
        return cost

    def _alone_after_adding(self, group: int) -> Counts:
        """Count the classes that would be in one part alone if the group were added to each part, (P,)."""
        classes = self._classes[group]
        has = self._held[:, classes] > 0
        num_parts = has.sum(axis=0) + ~has
        alone: Counts = (num_parts < 2).sum(axis=1)
        return alone
