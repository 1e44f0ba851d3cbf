"""The record of a selection, the order in which groups are ranked, and the recall (Table 4)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import check_scores, check_top_k


@dataclass(frozen=True, eq=False)
class Selection:
    """The groups that a selector chose, and its scores of all groups.

    A SelectionInputError is raised where scores are not finite, or groups are empty, repeated or out of range.

    Attributes:
      method: name of the selector.
      groups: the selected groups, best first.
      scores: (K_source,) float64, finite, read-only, higher = more similar: log P·1 for `uot`, −mean distance for
        `greedy_ot`, −distance for `nearest`, the draw for `random`, the position from the end of the list for `label`.
      margin: score of the last group selected − score of the best one not selected; None where all groups are selected.
      converged: False where the scores are those of an iteration that ended early.
      iterations: number of iterations; 0 for a selector that has none.
    """

    method: str
    groups: tuple[int, ...]
    scores: NDArray[np.float64]
    margin: float | None
    converged: bool
    iterations: int

    def __post_init__(self) -> None:
        scores = check_scores(self.scores).copy()
        scores.flags.writeable = False
        object.__setattr__(self, "scores", scores)
        if not self.groups or len(set(self.groups)) != len(self.groups):
            raise SelectionInputError(
                f"groups must be one or more different indices, but are {self.groups}; rank again"
            )
        wrong = [group for group in self.groups if not 0 <= group < len(scores)]
        if wrong:
            raise SelectionInputError(
                f"groups must be indices from 0 to {len(scores) - 1}, but {wrong[0]} is not; "
                "give a score for each group"
            )

    @classmethod
    def from_scores(
        cls, method: str, scores: ArrayLike, *, top_k: int, converged: bool = True, iterations: int = 0
    ) -> "Selection":
        """Select the top_k groups of the highest scores.

        A SelectionInputError is raised where top_k is not from 1 to K_source, or a score is not finite.

        >>> Selection.from_scores("nearest", [-3.0, -1.0, -2.0], top_k=2).groups
        (1, 2)
        """
        ranking = rank_groups(scores)
        check_top_k(top_k, num_groups=len(ranking))
        values = np.asarray(scores, dtype=np.float64)
        margin = float(values[ranking[top_k - 1]] - values[ranking[top_k]]) if top_k < len(ranking) else None
        return cls(method, ranking[:top_k], values, margin, converged, iterations)


def rank_groups(scores: ArrayLike) -> tuple[int, ...]:
    """Return all K_source indices, best first: by descending score, and equal scores by ascending group index.

    A SelectionInputError is raised where scores are empty, not one-dimensional or not finite.

    >>> rank_groups([0.5, 2.0, 0.5])
    (1, 0, 2)
    """
    return tuple(int(group) for group in np.argsort(-check_scores(scores), kind="stable"))


def recall_at_k(selection: Selection, expected_ids: Iterable[int]) -> float:
    """Return the share of the expected groups that are among the selected ones, in [0, 1].

    With the 59 bird classes of ImageNet, K = 100 and CUB as target this is the recall of Table 4, which the paper
    prints in percent. A SelectionInputError is raised where no group is expected, or one that the source does not have.

    Args:
      selection: its number of groups is K.
      expected_ids: indices of the groups that should be found, at least one; repetitions count once.

    >>> recall_at_k(Selection.from_scores("nearest", [3.0, 2.0, 1.0], top_k=2), [0, 2])
    0.5
    """
    expected = {int(group) for group in expected_ids}
    if not expected:
        raise SelectionInputError(
            "expected_ids must hold at least one group, but is empty; list the groups to be found"
        )
    num_groups = len(selection.scores)
    unknown = sorted(group for group in expected if not 0 <= group < num_groups)
    if unknown:
        raise SelectionInputError(
            f"expected_ids must be from 0 to {num_groups - 1}, but {unknown[0]} is not; give indices of this source"
        )
    return len(expected & set(selection.groups)) / len(expected)
