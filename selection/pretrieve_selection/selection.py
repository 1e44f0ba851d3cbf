"""The record of a selection, and the one order in which groups are ranked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import check_top_k

_FIELDS = ("method", "groups", "scores", "margin", "converged", "iterations")


@dataclass(frozen=True, eq=False)
class Selection:
    """The groups that a selector chose, and how it saw all of them.

    Attributes:
      method: name of the selector.
      groups: the selected groups, best first.
      scores: (K_source,) float64, finite, read-only, higher = more similar: log P·1 for `uot`, −mean distance
        for `greedy_ot`, −distance for `nearest`, the draw for `random`, the place in the list from its
        end for `label`.
      margin: score of the last group selected − score of the best one not selected; None where all groups are
        selected.
      converged: False where the scores are those of an iteration that ended early.
      iterations: number of iterations; 0 for a selector that has none.

    Raises:
      SelectionInputError: scores are not finite, or groups are empty, repeated or out of range.
    """

    method: str
    groups: tuple[int, ...]
    scores: NDArray[np.float64]
    margin: float | None
    converged: bool
    iterations: int

    def __post_init__(self) -> None:
        scores = _checked_scores(self.scores).copy()
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

        Args:
          method: name of the selector.
          scores: (K_source,) finite, higher = more similar.
          top_k: number of groups to select, from 1 to K_source.
          converged: whether the scores are final.
          iterations: number of iterations behind the scores.

        Raises:
          SelectionInputError: top_k is out of range, or a score is not finite.

        >>> Selection.from_scores("nearest", [-3.0, -1.0, -2.0], top_k=2).groups
        (1, 2)
        """
        ranking = rank_groups(scores)
        check_top_k(top_k, num_groups=len(ranking))
        ranked = np.asarray(scores, dtype=np.float64)[list(ranking)]
        margin = float(ranked[top_k - 1] - ranked[top_k]) if top_k < len(ranking) else None
        return cls(
            method=method,
            groups=ranking[:top_k],
            scores=np.asarray(scores, dtype=np.float64),
            margin=margin,
            converged=converged,
            iterations=iterations,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain lists and numbers, all finite, that JSON can hold without loss."""
        return {
            "method": self.method,
            "groups": list(self.groups),
            "scores": self.scores.tolist(),
            "margin": self.margin,
            "converged": self.converged,
            "iterations": self.iterations,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Selection":
        """Return the selection that `to_dict` described.

        Raises:
          SelectionInputError: a key is missing or unknown, or a value breaks a rule of the class.
        """
        missing, unknown = set(_FIELDS) - set(record), set(record) - set(_FIELDS)
        if missing or unknown:
            raise SelectionInputError(
                f"a selection must have exactly the keys {', '.join(_FIELDS)}, but it lacks "
                f"{sorted(missing)} and has {sorted(unknown)} besides; write it with to_dict"
            )
        margin = record["margin"]
        return cls(
            method=str(record["method"]),
            groups=tuple(int(group) for group in record["groups"]),
            scores=np.asarray(record["scores"], dtype=np.float64),
            margin=None if margin is None else float(margin),
            converged=bool(record["converged"]),
            iterations=int(record["iterations"]),
        )


def rank_groups(scores: ArrayLike) -> tuple[int, ...]:
    """Order the groups by descending score; equal scores by ascending group index, always.

    Args:
      scores: (K_source,) finite, higher = more similar.

    Returns:
      All K_source indices, best first.

    Raises:
      SelectionInputError: scores are empty, not one-dimensional or not finite.

    >>> rank_groups([0.5, 2.0, 0.5])
    (1, 0, 2)
    """
    return tuple(int(group) for group in np.argsort(-_checked_scores(scores), kind="stable"))


def _checked_scores(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise SelectionInputError(
            f"scores must be one number for each group, but have shape {values.shape}; give (K,) scores"
        )
    for group in np.flatnonzero(~np.isfinite(values)):
        raise SelectionInputError(
            f"scores must be finite, but that of group {group} is {values[group]}; check the centroid of this group"
        )
    return values
